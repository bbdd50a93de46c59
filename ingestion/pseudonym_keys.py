"""Changing the key of the patient pseudonyms.

A pseudonym is made of the patient's id, which is in the payload that bronze keeps. So a new key
needs nobody's old pseudonyms: bronze is gone through, and each row gets its pseudonym under the new
key, computed here and never in SQL. Silver and gold hold the old ones until they are built anew
(`dbt build --full-refresh`): until then both versions are right, each with its number beside it.
Then the old key can go.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from psycopg import sql

from ingestion.erasure import MADE_FROM_EVENTS
from ingestion.events import Pseudonymiser, patient_id_of
from pbm import warehouse

_ROWS_AT_A_TIME: Final = 2000

# One pass goes through the rows in the order of their key; what lands behind it is the next one's.
_NEXT_ROWS: Final = """
select message_id, payload
from pbm_bronze.raw_orders
where
    patient_key is not null
    and patient_key_version <> %(version)s
    and message_id > %(after)s
order by message_id
limit %(limit)s
"""
_REKEY: Final = """
update pbm_bronze.raw_orders
set patient_key = new.patient_key, patient_key_version = %(version)s
from unnest(cast(%(ids)s as text[]), cast(%(keys)s as text[])) as new (message_id, patient_key)
where raw_orders.message_id = new.message_id
"""


@dataclass
class Versions:
    """Which key versions are where.

    Attributes:
        states: What is known of each version: ``current``, ``kept`` or ``retired``.
        bronze: Rows of bronze with a pseudonym, by version.
        strangers: Rows of silver and gold, by table, whose pseudonym bronze does not have.
    """

    states: dict[int, str] = field(default_factory=dict)
    bronze: dict[int, int] = field(default_factory=dict)
    strangers: dict[str, int] = field(default_factory=dict)


class PseudonymKeys:
    """The pseudonyms of a warehouse, on one connection that is closed at the end of ``with``.

    Args:
        dsn: Connection string of the warehouse.
    """

    def __init__(self, dsn: str) -> None:
        self._where = warehouse.describe(dsn)
        self._connection = warehouse.connect(dsn, role=warehouse.PRIVACY_OFFICER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def versions(self) -> Versions:
        """Look which versions are where.

        Raises:
            ServiceError: The database is lost.
        """
        with warehouse.translated_errors(self._where):
            found = Versions(
                states=dict(self._rows("select version, state from pbm_ops.pseudonym_keys")),
                bronze=dict(
                    self._rows(
                        "select patient_key_version, count(*) from pbm_bronze.raw_orders"
                        " where patient_key is not null group by 1 order by 1"
                    )
                ),
                strangers=self._strangers(),
            )
            self._connection.rollback()
        return found

    def _strangers(self) -> dict[str, int]:
        tables = self._rows(
            "select table_schema, table_name from information_schema.columns"
            " inner join information_schema.tables using (table_schema, table_name)"
            " where column_name = 'patient_key' and table_schema = any(%s)"
            " and table_type = 'BASE TABLE' order by 1, 2",
            (list(MADE_FROM_EVENTS),),
        )
        found = {}
        for schema, table in tables:
            query = sql.SQL(
                "select count(*) from {} as made where patient_key is not null and not exists ("
                "select from pbm_bronze.raw_orders where raw_orders.patient_key = made.patient_key)"
            ).format(sql.Identifier(schema, table))
            found[f"{schema}.{table}"] = self._rows(query)[0][0]
        return {table: rows for table, rows in found.items() if rows}

    def begin(self, version: int) -> None:
        """Note that a version is the current one, and those before it are kept.

        Raises:
            ServiceError: The database is lost.
        """
        with warehouse.translated_errors(self._where):
            self._connection.execute(
                "insert into pbm_ops.pseudonym_keys (version, state)"
                " select distinct patient_key_version, 'kept' from pbm_bronze.raw_orders"
                " where patient_key is not null on conflict (version) do nothing"
            )
            self._connection.execute(
                "update pbm_ops.pseudonym_keys set state = 'kept', changed_at = clock_timestamp()"
                " where state = 'current' and version <> %s",
                (version,),
            )
            self._connection.execute(
                "insert into pbm_ops.pseudonym_keys (version, state) values (%s, 'current')"
                " on conflict (version) do update set state = 'current',"
                " changed_at = clock_timestamp()",
                (version,),
            )
            self._connection.commit()

    def rekey(self, pseudonymiser: Pseudonymiser) -> int:
        """Give every row of bronze its pseudonym under a key; return how many changed.

        Some rows at a time, each time committed: it may be ended and begun again at any moment,
        and ingestion goes on meanwhile.

        Raises:
            ServiceError: The database is lost.
        """
        changed = 0
        with warehouse.translated_errors(self._where):
            while some := self._one_pass(pseudonymiser):
                changed += some
        return changed

    def _one_pass(self, pseudonymiser: Pseudonymiser) -> int:
        changed, after = 0, ""
        while True:
            parameters: Mapping[str, object] = {
                "version": pseudonymiser.version,
                "after": after,
                "limit": _ROWS_AT_A_TIME,
            }
            rows = self._rows(_NEXT_ROWS, parameters)
            if not rows:
                self._connection.rollback()
                return changed
            after = rows[-1][0]
            keys = {
                message_id: pseudonymiser.key_for(patient_id)
                for message_id, payload in rows
                if (patient_id := patient_id_of(payload)) is not None
            }
            self._connection.execute(
                _REKEY,
                {
                    "version": pseudonymiser.version,
                    "ids": list(keys),
                    "keys": list(keys.values()),
                },
            )
            self._connection.commit()
            changed += len(keys)

    def retire(self, version: int) -> None:
        """Note that every version before one is no more.

        Raises:
            ServiceError: The database is lost.
        """
        with warehouse.translated_errors(self._where):
            self._connection.execute(
                "update pbm_ops.pseudonym_keys set state = 'retired',"
                " changed_at = clock_timestamp() where version < %s",
                (version,),
            )
            self._connection.commit()

    def _rows(self, query: Any, parameters: Any = None) -> list[tuple[Any, ...]]:  # noqa: ANN401
        text = query.encode() if isinstance(query, str) else query
        return self._connection.execute(text, parameters).fetchall()
