"""Who holds pulled messages that are not acknowledged yet, and until when.

Pub/Sub gives a killed ingester's messages out again only after the acknowledgement deadline, and
says nothing of them until then. A drain that took the silence for an empty subscription would end
without them, so every ingester notes its lease in the warehouse.
"""

from datetime import timedelta
from uuid import UUID

from pbm import warehouse


class Leases:
    """The table ``pbm_ops.subscription_leases``; one connection, in autocommit.

    Args:
        dsn: Connection string of the warehouse.
    """

    def __init__(self, dsn: str) -> None:
        self._connection = warehouse.connect(dsn, role=warehouse.LOADER, autocommit=True)
        self._where = warehouse.describe(dsn)

    def hold(self, ingester: UUID, subscription: str, duration: timedelta) -> None:
        """Note that ``ingester`` may hold messages of ``subscription`` for ``duration``."""
        with warehouse.translated_errors(self._where):
            self._connection.execute(
                "insert into pbm_ops.subscription_leases (ingester_id, subscription, leased_until)"
                " values (%s, %s, clock_timestamp() + %s)"
                " on conflict (ingester_id) do update set leased_until = excluded.leased_until",
                (ingester, subscription, duration),
            )

    def held_by_others(self, ingester: UUID, subscription: str) -> bool:
        """Whether another ingester may hold messages of ``subscription`` now."""
        with warehouse.translated_errors(self._where):
            found = self._connection.execute(
                "select from pbm_ops.subscription_leases where subscription = %s"
                " and ingester_id <> %s and leased_until > clock_timestamp() limit 1",
                (subscription, ingester),
            )
            return found.fetchone() is not None

    def release(self, ingester: UUID) -> None:
        """Forget the lease of ``ingester``, and those that ran out a day ago; close."""
        with warehouse.translated_errors(self._where):
            self._connection.execute(
                "delete from pbm_ops.subscription_leases where ingester_id = %s"
                " or leased_until < clock_timestamp() - interval '1 day'",
                (ingester,),
            )
            self._connection.close()
