"""The warehouse as Airflow's tasks ask it: through the connection ``pbm_warehouse``.

PostgreSQL here and BigQuery on Google Cloud; ``pbm env`` exports the former.
"""

from typing import Any, Final

WAREHOUSE: Final = "pbm_warehouse"
"""The Airflow connection."""


class Warehouse:
    """The warehouse behind the connection.

    Attributes:
        kind: The connection's type: ``postgres`` or ``gcpbigquery``.
    """

    def __init__(self) -> None:
        from airflow.sdk import BaseHook

        connection: Any = BaseHook.get_connection(WAREHOUSE)
        self.kind: str = connection.conn_type
        options = {"use_legacy_sql": False} if self.kind == "gcpbigquery" else {}
        self._hook = connection.get_hook(hook_params=options)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return [tuple(row) for row in self._hook.get_records(query)]
