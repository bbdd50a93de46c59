"""Erasing a patient from BigQuery, and the answers of the patient's orders from Cloud SQL.

As in PostgreSQL (``ingestion.erasure``), but for what BigQuery does otherwise. It has no lock that
holds up the stream, so the patient goes on the list first, and all is looked through until nothing
is found once every worker has read the list. Rows that were streamed within the last 90 minutes can
be read and not deleted: then the command says so, and is run again later.
"""

import base64
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ingestion.bigquery_client import BigQuery
from ingestion.bigquery_pseudonyms import NEW_PSEUDONYMS
from ingestion.bigquery_suppression import READ_EVERY
from ingestion.erasure import (
    MADE_FROM_EVENTS,
    SURVEYS,
    Copy,
    Erasure,
    Subject,
    claims,
    condition_on,
    correcting_panes,
    emails_of,
    is_named,
    nothing_found,
    orders_on_list,
    require_known_versions,
    still_there,
)
from ingestion.events import Pseudonymiser
from ingestion.live import FirstCopy
from ingestion.suppression import ERASED, ERASED_MESSAGE, SubjectHasher
from pbm import warehouse
from pbm.errors import ServiceError

SEARCHED: Final = ("pbm_bronze", "pbm_speed", "pbm_ops", *MADE_FROM_EVENTS)
"""The datasets in which the proof looks for what named the patient."""

SETTLES: Final = READ_EVERY + 60
"""Seconds after which no worker writes by a list that it had read before."""

# a retry of the job may have appended a row twice
_TO_LETTERS: Final = """
insert into pbm_bronze.dead_letter_orders (
    message_id, payload_base64, attributes, error_type, error_message, publish_time, failed_at,
    replay_count
)
select
    message_id, '', parse_json('{}'), @erased, @erased_message, min(publish_time),
    current_timestamp(), 0
from pbm_bronze.raw_orders
where message_id in unnest(@messages)
group by message_id
"""
_EMPTY_LETTERS: Final = """
update pbm_bronze.dead_letter_orders
set
    payload_base64 = '', attributes = parse_json('{}'), error_type = @erased,
    error_message = @erased_message
where message_id in unnest(@letters)
"""


@dataclass
class _Found:
    """What one look found.

    Attributes:
        copies: Messages of events that lose one, the first copy of each first.
        letters: Ids of the dead letters that name the patient.
        conditions: Which rows of which table go or change.
        counts: How many rows that is, by table.
    """

    copies: list[Copy] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)
    conditions: list[tuple[str, str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class BigQueryEraser:
    """Erases patients from a BigQuery warehouse; see ``ingestion.erasure.Eraser``.

    Args:
        bigquery: The warehouse.
        survey_dsn: Connection string of the PostgreSQL that holds the survey answers.
        pseudonymisers: The keys of all versions that are still kept.
        hasher: The key of the suppression list.
        settles: See ``SETTLES``.
        patience: How long jobs that were running are waited for, in seconds.
        progress: Is told, in words, what is waited for.
    """

    def __init__(
        self,
        bigquery: BigQuery,
        survey_dsn: str,
        pseudonymisers: Sequence[Pseudonymiser],
        hasher: SubjectHasher,
        *,
        settles: float = SETTLES,
        patience: float = 1800,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._bigquery = bigquery
        self._survey_dsn = survey_dsn
        self._pseudonymisers = pseudonymisers
        self._hasher = hasher
        self._settles = settles
        self._patience = patience
        self._progress = progress
        self._surveys = warehouse.connect(survey_dsn, role=warehouse.PRIVACY_OFFICER)

    def close(self) -> None:
        """Close the connections."""
        self._surveys.close()
        self._bigquery.close()

    def count(self, patient_id: str) -> Mapping[str, int]:
        """How many rows an erasure would touch now, by table; nothing is changed.

        Raises:
            ConfigurationError: A key is missing with which pseudonyms were made.
            ServiceError: A warehouse does not answer.
        """
        subject = self._subject(patient_id)
        self._complete(subject, is_known=self._is_suppressed(subject))
        counts = self._look(subject).counts
        counts[SURVEYS] = self._erase_answers(subject, really=False)
        return counts

    def erase(self, patient_id: str) -> Erasure:
        """Erase a patient from every layer and see that nothing is left.

        Args:
            patient_id: The id, as the sources write it.

        Raises:
            InputError: No layer has anything of such a patient.
            CheckFailedError: Something was found after all.
            ConfigurationError: A key is missing with which pseudonyms were made.
            ServiceError: A warehouse does not answer, rows were streamed too recently to be
                deleted, or a job runs for too long. What was done stays done.
        """
        result = Erasure(uuid.uuid4())
        subject = self._subject(patient_id)
        is_known = self._is_suppressed(subject)
        listed_at = time.monotonic()
        while True:
            self._complete(subject, is_known=is_known)
            found = self._look(subject)
            answers = self._erase_answers(subject, really=True)
            touched = found.counts.total() + answers
            if not touched and not result.passes and not is_known:
                raise nothing_found()
            if self._suppress(subject):
                listed_at = time.monotonic()
            result.passes += 1
            if touched:
                self._erase(subject, found, result)
                result.rows_by_table.update(found.counts)
                result.rows_by_table[SURVEYS] += answers
            elif time.monotonic() - listed_at >= self._settles:
                break
            self._wait(listed_at)
        result.orders = len(subject.orders)
        self._prove(subject, result)
        self._bigquery.run(
            "insert into pbm_ops.erasures (erasure_id, erased_at, rows_by_table)"
            " values (@erasure_id, current_timestamp(), parse_json(@rows))",
            erasure_id=str(result.erasure_id),
            rows=json.dumps(dict(sorted(result.rows_by_table.items()))),
        )
        return result

    # ------------------------------------------------------------------ who it is

    def _subject(self, patient_id: str) -> Subject:
        require_known_versions(
            self._pseudonymisers,
            (
                version
                for table, columns in self._bigquery.tables(*SEARCHED).items()
                if "patient_key_version" in columns
                for (version,) in self._bigquery.rows(
                    f"select distinct patient_key_version from {table}"  # noqa: S608
                    " where patient_key_version is not null"
                )
            ),
        )
        return Subject.of(patient_id, self._pseudonymisers)

    def _is_suppressed(self, subject: Subject) -> bool:
        return bool(
            self._bigquery.rows(
                "select 1 from pbm_ops.suppressed_subjects where subject_hash = @subject_hash",
                subject_hash=self._hasher.patient(subject.patient_id),
            )
        )

    def _complete(self, subject: Subject, *, is_known: bool) -> None:
        """Add the orders and addresses that bronze has now, and orders that have returned."""
        if is_known:
            subject.orders |= self._returned_orders()
        for payload, order_id in self._bigquery.rows(
            "select payload, order_id from pbm_bronze.raw_orders"
            " where patient_key in unnest(@keys)",
            keys=subject.keys,
        ):
            subject.orders.add(order_id)
            subject.emails |= emails_of(payload)
        subject.shared_orders |= {
            order_id
            for (order_id,) in self._bigquery.rows(
                "select distinct order_id from pbm_bronze.raw_orders"
                " where order_id in unnest(@orders) and patient_key not in unnest(@keys)",
                orders=sorted(subject.orders),
                keys=subject.keys,
            )
        }
        subject.orders -= subject.shared_orders

    def _returned_orders(self) -> set[str]:
        """The orders on the list that a table names again; see ``ingestion.erasure.Eraser``."""
        tables = [
            table
            for table, columns in self._bigquery.tables(*MADE_FROM_EVENTS).items()
            if "order_id" in columns
        ]
        if not tables:
            return set()
        return orders_on_list(
            self._hasher,
            self._bigquery.rows(
                "select subject_hash from pbm_ops.suppressed_subjects where kind = 'order'"
            ),
            self._bigquery.each(
                " union distinct ".join(f"select order_id from {table}" for table in tables)  # noqa: S608
            ),
        )

    def _suppress(self, subject: Subject) -> bool:
        """Put the patient and the orders on the list; tell whether one was not there."""
        hashes = subject.hashes(self._hasher)
        known = {
            one
            for (one,) in self._bigquery.rows(
                "select subject_hash from pbm_ops.suppressed_subjects"
                " where subject_hash in unnest(@hashes)",
                hashes=sorted(hashes),
            )
        }
        for kind in ("patient", "order"):
            new = sorted(one for one, of in hashes.items() if of == kind and one not in known)
            if new:
                self._bigquery.run(
                    "insert into pbm_ops.suppressed_subjects (subject_hash, kind, suppressed_at)"
                    " select subject_hash, @kind, current_timestamp()"
                    " from unnest(@hashes) as subject_hash",
                    hashes=new,
                    kind=kind,
                )
        return bool(set(hashes) - known)

    # ------------------------------------------------------------------ what there is

    def _look(self, subject: Subject) -> _Found:
        found = _Found(list(self._copies(subject)), list(self._letters(subject)))
        found.counts["pbm_bronze.raw_orders"] = sum(one.is_erased for one in found.copies)
        found.counts["pbm_bronze.dead_letter_orders"] = len(found.letters)
        # a change of the key that was ended leaves its table, which names messages that are gone
        if NEW_PSEUDONYMS in self._bigquery.tables("pbm_ops"):
            found.conditions.append((NEW_PSEUDONYMS, "delete from {}", "new_key in unnest(@keys)"))
        for table, columns in self._bigquery.tables(*MADE_FROM_EVENTS).items():
            if condition := condition_on(columns, "in unnest(@keys)", "in unnest(@orders)"):
                found.conditions.append((table, "delete from {}", condition))
            # rows of other patients that remember a copy which named this one
            found.conditions += [
                (table, f"update {{}} set {column} = null", condition)  # noqa: S608
                for column, condition in _CLAIMS.items()
                if column in columns
            ]
        kept = []
        parameters = _parameters(subject)
        for table, statement, condition in found.conditions:
            rows = self._bigquery.rows(
                f"select count(*) from {table} where {condition}",  # noqa: S608
                **parameters,
            )[0][0]
            found.counts[table] += rows
            if rows:
                kept.append((table, statement, condition))
        found.conditions = kept
        return found

    def _copies(self, subject: Subject) -> Iterator[Copy]:
        """Every message of an event that loses one; the first copy of each comes first."""
        for message_id, event_id, is_erased, *copy in self._bigquery.rows(
            """
            with erased as (
                select message_id, event_id
                from pbm_bronze.raw_orders
                where
                    patient_key in unnest(@keys)
                    or (order_id in unnest(@orders) and patient_key is null)
            )

            select
                message_id,
                event_id,
                message_id in (select erased.message_id from erased) as is_erased,
                event_type,
                payload,
                publish_time
            from pbm_bronze.raw_orders
            where event_id in (select erased.event_id from erased)
            order by event_id, publish_time, message_id
            """,
            keys=subject.keys,
            orders=sorted(subject.orders),
        ):
            yield Copy(message_id, event_id, is_erased, FirstCopy(*copy))

    def _letters(self, subject: Subject) -> Iterator[str]:
        for message_id, payload_base64, attributes in self._bigquery.each(
            "select message_id, payload_base64, to_json_string(attributes)"
            " from pbm_bronze.dead_letter_orders where error_type <> @erased",
            erased=ERASED,
        ):
            data = base64.b64decode(payload_base64)
            if is_named(subject, data, _object(attributes)):
                yield message_id

    # ------------------------------------------------------------------ what is done

    def _erase(self, subject: Subject, found: _Found, result: Erasure) -> None:
        """What was found, and the counts that follow from it: all of it, or nothing."""
        statements = [
            f"{statement.format(table)} where {condition}"
            for table, statement, condition in found.conditions
        ]
        parameters: dict[str, Any] = {**_parameters(subject), "letters": found.letters}
        parameters |= {"erased": ERASED, "erased_message": ERASED_MESSAGE}
        if found.letters:
            statements.append(_EMPTY_LETTERS)
        messages = sorted({one.message_id for one in found.copies if one.is_erased})
        if messages:
            result.shared |= bool(subject.shared_orders) or any(
                not one.is_erased for one in found.copies
            )
            parameters["messages"] = messages
            statements += [
                _TO_LETTERS,
                "delete from pbm_bronze.raw_orders where message_id in unnest(@messages)",
            ]
        emission = f"erasure {result.erasure_id} {result.passes}"
        if panes := correcting_panes(found.copies, emission):
            columns = ", ".join(panes[0]._fields)
            values = ", ".join(f"pane.{name}" for name in panes[0]._fields)
            parameters["panes"] = [pane._asdict() for pane in panes]
            statements.append(
                f"insert into pbm_speed.live_order_metrics ({columns}, emitted_at)"  # noqa: S608
                f" select {values}, current_timestamp() from unnest(@panes) as pane"
            )
        if statements:
            self._bigquery.run(*statements, **parameters)

    def _erase_answers(self, subject: Subject, *, really: bool) -> int:
        with warehouse.translated_errors(warehouse.describe(self._survey_dsn)):
            rows = self._surveys.execute(
                f"delete from {SURVEYS} where order_id = any(%s)".encode(),  # noqa: S608
                (sorted(subject.orders),),
            ).rowcount
            if really:
                self._surveys.commit()
            else:
                self._surveys.rollback()
        return rows

    # ------------------------------------------------------------------ nothing comes back

    def _wait(self, listed_at: float) -> None:
        """Wait for jobs that may have read what is gone, and for workers with an older list."""
        self._progress(
            "Waiting for jobs that may have read the patient before, and until every worker of "
            f"the stream has read the list (up to {self._settles:.0f} s) …"
        )
        moment = self._bigquery.now()
        deadline = time.monotonic() + self._patience
        while running := self._bigquery.jobs_older_than(moment):
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"The patient was erased, but {running} jobs that are older have run for "
                    f"{self._patience:.0f} s, and may bring rows back.",
                    "Wait until they have ended, and run `pbm erase` again.",
                )
            time.sleep(min(2.0, self._settles))
        time.sleep(max(0.0, listed_at + self._settles - time.monotonic()))

    def _prove(self, subject: Subject, result: Erasure) -> None:
        """Search every table, as text, for the patient's id, mail addresses, keys and orders."""
        texts = subject.texts
        result.searched = len(texts)
        # a quote or a character that JSON writes otherwise stands escaped in a row's text
        escaped = {json.dumps(text, ensure_ascii=False)[1:-1] for text in texts}
        found = []
        for table in self._bigquery.tables(*SEARCHED):
            rows = self._bigquery.rows(
                f"select count(*) from {table} as searched where exists ("  # noqa: S608
                "select 1 from unnest(@texts) as wanted"
                " where strpos(lower(to_json_string(searched)), wanted) > 0)",
                texts=sorted(texts | escaped),
            )[0][0]
            if rows:
                found.append(f"{table} ({rows} rows)")
        if found:
            raise still_there(found)


_CLAIMS: Final = {
    column: f"exists (select 1 from unnest(@{claimed}) as claim where strpos({column}, claim) > 0)"  # noqa: S608
    for column, claimed in (
        ("other_patient_keys", "key_claims"),
        ("other_order_ids", "order_claims"),
    )
}
"""Columns that hold JSON arrays of what other copies of an event name, and how one is found."""


def _parameters(subject: Subject) -> dict[str, list[str]]:
    orders = sorted(subject.orders)
    return {
        "keys": subject.keys,
        "orders": orders,
        "key_claims": claims(subject.keys),
        "order_claims": claims(orders),
    }


def _object(text: str | None) -> object:
    """Attributes as they were received; an emulator gives JSON as a text within a text."""
    value = json.loads(text or "{}")
    return json.loads(value) if isinstance(value, str) else value
