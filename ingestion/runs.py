"""The record of ingestion's runs: what each counted, and what it may still hold.

Pub/Sub gives a killed ingester's messages out again only after the acknowledgement deadline, and
says nothing of them until then. A drain that took the silence for an empty subscription would end
without them, so every run notes in the warehouse until when it may hold messages.
"""

import functools
import uuid
from datetime import datetime, timedelta

from ingestion.patience import patiently
from pbm import warehouse
from pbm.errors import PbmError


class IngestRun:
    """One row of ``pbm_ops.ingest_runs``, on a connection of its own, in autocommit.

    Args:
        dsn: Connection string of the warehouse.
        source: What is read: a subscription's resource name, or a file's.
    """

    def __init__(self, dsn: str, source: str) -> None:
        self.run_id = uuid.uuid4()
        self._dsn = dsn
        self._source = source
        self._where = warehouse.describe(dsn)
        self._connection = warehouse.connect(dsn, role=warehouse.LOADER, autocommit=True)
        with warehouse.translated_errors(self._where):
            self._connection.execute(
                "insert into pbm_ops.ingest_runs (run_id, source) values (%s, %s)",
                (self.run_id, source),
            )

    def hold(self, duration: timedelta) -> None:
        """Note that this run may hold messages for ``duration`` from now; none if that is zero."""
        self._execute(
            # a run that was idle may have been taken for a killed one: it goes on
            "update pbm_ops.ingest_runs set leased_until = clock_timestamp() + %s,"
            " ended_at = null where run_id = %s",
            (duration, self.run_id),
        )

    def others_hold(self) -> bool:
        """Whether another run may hold messages of the same source now."""
        return (
            self._execute(
                "select 1 from pbm_ops.ingest_runs where source = %s and ended_at is null"
                " and run_id <> %s and leased_until > clock_timestamp() limit 1",
                (self._source, self.run_id),
            )
            is not None
        )

    def cut_short_since(self) -> datetime | None:
        """When the earliest run began that was killed; None when all others ended or go on.

        A run goes on for as long as it renews its lease.
        """
        row = self._execute(
            "select min(started_at) from pbm_ops.ingest_runs where ended_at is null"
            " and run_id <> %s and leased_until < clock_timestamp()",
            (self.run_id,),
        )
        return row[0] if row is not None and isinstance(row[0], datetime) else None

    def close_cut_short(self) -> None:
        """Note that killed runs were dealt with."""
        self._execute(
            "update pbm_ops.ingest_runs set ended_at = clock_timestamp() where ended_at is null"
            " and run_id <> %s and leased_until < clock_timestamp()",
            (self.run_id,),
        )

    def end(self) -> None:
        """Note that the run has ended and holds nothing."""
        self._execute(
            "update pbm_ops.ingest_runs set ended_at = clock_timestamp(),"
            " leased_until = clock_timestamp() where run_id = %s",
            (self.run_id,),
        )
        self._connection.close()

    def _execute(self, statement: str, parameters: tuple[object, ...]) -> tuple[object, ...] | None:
        """Run a statement, patiently; return its first row. All of them may run twice."""
        return patiently(functools.partial(self._execute_once, statement, parameters))

    def _execute_once(
        self, statement: str, parameters: tuple[object, ...]
    ) -> tuple[object, ...] | None:
        if self._connection.closed:
            self._connection = warehouse.connect(self._dsn, role=warehouse.LOADER, autocommit=True)
        try:
            with warehouse.translated_errors(self._where):
                cursor = self._connection.execute(statement.encode(), parameters)
                return None if cursor.description is None else cursor.fetchone()
        except PbmError:
            self._connection.close()
            raise
