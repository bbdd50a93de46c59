"""Changing the key of the patient pseudonyms in BigQuery; see ``ingestion.pseudonym_keys``.

The new pseudonyms are computed here, loaded into a table of their own, and taken over by one
statement. Rows that were streamed within the last 90 minutes cannot be changed yet: a later
`pbm pseudonyms rekey` takes them.
"""

import itertools
from collections.abc import Iterator
from typing import Final, Self

from ingestion.bigquery_client import BigQuery
from ingestion.erasure import MADE_FROM_EVENTS
from ingestion.events import Pseudonymiser, patient_id_of
from ingestion.pseudonym_keys import Versions

_ROWS_AT_A_TIME: Final = 50_000
NEW_PSEUDONYMS: Final = "pbm_ops.new_pseudonyms"
"""The table of what a change of the key has computed; it is dropped at the end."""

_OF_ANOTHER_KEY: Final = """
    patient_key is not null
    and patient_key_version <> @version
    and ingested_at < timestamp_sub(current_timestamp(), interval 90 minute)
"""


class BigQueryPseudonymKeys:
    """The pseudonyms of a BigQuery warehouse; closed at the end of ``with``.

    Args:
        bigquery: The warehouse.
    """

    def __init__(self, bigquery: BigQuery) -> None:
        self._bigquery = bigquery

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bigquery.close()

    def versions(self) -> Versions:
        """Look which versions are where.

        Raises:
            ServiceError: BigQuery does not answer.
        """
        return Versions(
            states=dict(self._bigquery.rows("select version, state from pbm_ops.pseudonym_keys")),
            bronze=dict(
                self._bigquery.rows(
                    "select patient_key_version, count(*) from pbm_bronze.raw_orders"
                    " where patient_key is not null group by 1 order by 1"
                )
            ),
            strangers=self._strangers(),
        )

    def begin(self, version: int) -> None:
        """Note that a version is the current one, and those before it are kept.

        Raises:
            ServiceError: BigQuery does not answer.
        """
        self._bigquery.run(
            "insert into pbm_ops.pseudonym_keys (version, state, changed_at)"
            " select distinct patient_key_version, 'kept', current_timestamp()"
            " from pbm_bronze.raw_orders where patient_key is not null and patient_key_version"
            " not in (select known.version from pbm_ops.pseudonym_keys as known)",
            "update pbm_ops.pseudonym_keys set state = 'kept', changed_at = current_timestamp()"
            " where state = 'current' and version <> @version",
            "delete from pbm_ops.pseudonym_keys where version = @version",
            "insert into pbm_ops.pseudonym_keys (version, state, changed_at)"
            " values (@version, 'current', current_timestamp())",
            version=version,
        )

    def rekey(self, pseudonymiser: Pseudonymiser) -> int:
        """Give every row of bronze its pseudonym under a key; return how many changed.

        It may be ended and begun again at any moment, and ingestion goes on meanwhile.

        Raises:
            ServiceError: BigQuery does not answer.
        """
        self._bigquery.drop(NEW_PSEUDONYMS)
        changed = 0
        for batch in self._batches(pseudonymiser):
            self._bigquery.load(NEW_PSEUDONYMS, batch)
            changed += len(batch)
        if changed:
            self._bigquery.run(
                "update pbm_bronze.raw_orders as landed"  # noqa: S608
                " set patient_key = fresh.new_key, patient_key_version = @version"
                f" from (select distinct message_id, new_key from {NEW_PSEUDONYMS}) as fresh"
                f" where landed.message_id = fresh.message_id and {_OF_ANOTHER_KEY}",
                version=pseudonymiser.version,
            )
            self._bigquery.drop(NEW_PSEUDONYMS)
        return changed

    def retire(self, version: int) -> None:
        """Note that every version before one is no more.

        Raises:
            ServiceError: BigQuery does not answer.
        """
        self._bigquery.run(
            "update pbm_ops.pseudonym_keys set state = 'retired', changed_at = current_timestamp()"
            " where version < @version",
            version=version,
        )

    def _batches(self, pseudonymiser: Pseudonymiser) -> Iterator[list[dict[str, str]]]:
        rows = (
            {"message_id": message_id, "new_key": pseudonymiser.key_for(patient_id)}
            for message_id, payload in self._bigquery.each(
                "select message_id, payload from pbm_bronze.raw_orders"  # noqa: S608
                f" where {_OF_ANOTHER_KEY}",
                version=pseudonymiser.version,
            )
            if (patient_id := patient_id_of(payload)) is not None
        )
        while batch := list(itertools.islice(rows, _ROWS_AT_A_TIME)):
            yield batch

    def _strangers(self) -> dict[str, int]:
        found = {}
        for table, columns in self._bigquery.tables(*MADE_FROM_EVENTS).items():
            if "patient_key" in columns:
                found[table] = self._bigquery.rows(
                    f"select count(*) from {table} where patient_key is not null"  # noqa: S608
                    " and patient_key not in (select bronze.patient_key"
                    " from pbm_bronze.raw_orders as bronze where bronze.patient_key is not null)"
                )[0][0]
        return {table: rows for table, rows in found.items() if rows}
