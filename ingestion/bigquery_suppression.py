"""Keeping erased patients out of BigQuery: the step of the Dataflow job that knows their list.

The list is ``pbm_ops.suppressed_subjects``; ``pbm erase`` adds to it first and deletes afterwards.
Each worker reads it anew every ``READ_EVERY`` seconds, so that an erasure looks again after that.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final

import apache_beam as beam

from ingestion.pipeline import CheckedChunk
from ingestion.suppression import SubjectHasher, SuppressionList
from pbm.errors import ConfigurationError

READ_EVERY: Final = 60.0
"""Seconds for which a worker uses the list that it has read."""


class LeaveOutErased(beam.DoFn):
    """Takes what names an erased patient out of checked chunks; dead letters without content stay.

    Args:
        project: Project of the table.
        dataset: Dataset of ``suppressed_subjects``.
        load_hasher: Gives the list's key, on the worker. It is asked for only where the list has
            an entry; None where the job knows no key.
        read_every: See ``READ_EVERY``.
    """

    def __init__(
        self,
        project: str,
        dataset: str,
        load_hasher: Callable[[], SubjectHasher] | None,
        read_every: float = READ_EVERY,
    ) -> None:
        self._project = project
        self._table = f"{project}.{dataset}.suppressed_subjects"
        self._load_hasher = load_hasher
        self._read_every = read_every

    def setup(self) -> None:
        """Open the client where the work is done."""
        from google.cloud import bigquery

        self._client = bigquery.Client(project=self._project)
        self._column = bigquery.SchemaField("subject_hash", "STRING")
        self._hasher: SubjectHasher | None = None
        self._list: SuppressionList | None = None
        self._read_at: float | None = None

    def process(self, element: CheckedChunk) -> Iterator[CheckedChunk]:
        """One chunk in, one chunk out."""
        suppressed = self._current()
        if suppressed is None:
            yield element
            return
        kept, erased = suppressed.sift(element.raw_orders)
        yield CheckedChunk(kept, [*suppressed.wiped(element.dead_letters), *erased])

    def teardown(self) -> None:
        """Close the client."""
        self._client.close()

    def _current(self) -> SuppressionList | None:
        """The list, at most ``read_every`` seconds old; None where nobody was erased."""
        if self._read_at is None or time.monotonic() - self._read_at > self._read_every:
            # tabledata.list is free, and sees what a DML statement has inserted at once. An error
            # fails the bundle, which the runner runs again: nothing lands by a list that is older
            read_at = time.monotonic()
            hashes = frozenset(
                str(row["subject_hash"])
                for row in self._client.list_rows(self._table, selected_fields=[self._column])
            )
            self._list = SuppressionList(hashes, self._opened_hasher()) if hashes else None
            self._read_at = read_at
        return self._list

    def _opened_hasher(self) -> SubjectHasher:
        if self._hasher is None:
            if self._load_hasher is None:
                raise ConfigurationError(
                    "Patients were erased here, and the job does not know the key of their list.",
                    "Start it with --suppression_key_secret.",
                )
            self._hasher = self._load_hasher()
        return self._hasher
