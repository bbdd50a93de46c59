"""Erasing a patient: from what was received, from everything made of it, and from what comes later.

In one transaction, while nothing lands: the patient's messages become dead letters without bytes,
so that no delivery or file brings them back; live panes and the run's counts are corrected, so that
reconciliation still adds up; rows of silver, gold and the surveys go; and the patient and the
orders are put on the list of those whose messages are not kept. A build that runs meanwhile may
have read what is gone and write it again: so what was open then is waited for, and all is looked
through once more, until nothing is found.
"""

import base64
import json
import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple, Self

from psycopg import sql

from ingestion import live
from ingestion.events import WHITE_SPACE, Pseudonymiser
from ingestion.live import FirstCopy, Pane
from ingestion.sinks import INSERT_PANE, LANDING_LOCK, LANDING_TIME
from ingestion.suppression import ERASED, ERASED_MESSAGE, SubjectHasher, named_in
from pbm import warehouse
from pbm.errors import CheckFailedError, ConfigurationError, InputError, ServiceError

MADE_FROM_EVENTS: Final = ("pbm_silver", "pbm_gold", "pbm_serving")
"""The schemas that dbt makes of the messages."""

SEARCHED: Final = ("pbm_bronze", "pbm_speed", "pbm_ops", *MADE_FROM_EVENTS, "survey_data")
"""Where the proof looks for what named the patient."""

SURVEYS: Final = "survey_data.survey_responses"
"""The answers as they came."""

_SHORTEST_SEARCHED: Final = 6
"""Shorter texts are found in anything: they are compared as whole values and never searched for."""


@dataclass
class Subject:
    """A patient, by everything that points at one. It never leaves the process.

    Attributes:
        patient_id: As it is compared: trimmed, upper case.
        keys: The patient's pseudonyms under every key that is kept.
        orders: The ids of the orders that are the patient's alone.
        shared_orders: The ids of orders that another patient's messages name too.
        emails: What their placements named as the patient's address for mail.
    """

    patient_id: str
    keys: list[str]
    orders: set[str] = field(default_factory=set)
    shared_orders: set[str] = field(default_factory=set)
    emails: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, patient_id: str, pseudonymisers: Sequence[Pseudonymiser]) -> Self:
        """The patient with an id as the sources write it, by the keys that are kept."""
        normal = patient_id.strip(WHITE_SPACE).upper()
        return cls(normal, [one.key_for(normal) for one in pseudonymisers])

    @property
    def texts(self) -> set[str]:
        """What a text that names the patient holds, in lower case."""
        found = {self.patient_id, *self.emails, *self.keys, *self.orders}
        return {text.lower() for text in found if len(text) >= _SHORTEST_SEARCHED}

    def hashes(self, hasher: SubjectHasher) -> dict[str, str]:
        """What goes on the list of whom is left out: hashes of the patient and the orders.

        Returns:
            The kind of each: ``patient`` or ``order``.
        """
        orders = {hasher.order(one): "order" for one in sorted(self.orders)}
        return {hasher.patient(self.patient_id): "patient", **orders}


@dataclass
class Erasure:
    """What an erasure did.

    Attributes:
        erasure_id: Its id in ``pbm_ops.erasures``.
        rows_by_table: Rows that were deleted or emptied.
        orders: How many orders it was.
        passes: How often everything was looked through.
        searched: Texts that were looked for in every table at the end, and not found.
        shared: Whether an order or event also names another patient: then silver and gold need a
            full refresh to be what bronze says.
    """

    erasure_id: uuid.UUID
    rows_by_table: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    passes: int = 0
    searched: int = 0
    shared: bool = False


class Copy(NamedTuple):
    """A message of an event that loses one.

    Attributes:
        message_id: The message's id.
        event_id: The event's id.
        is_erased: Whether this is one that the event loses.
        copy: What is counted of it.
    """

    message_id: str
    event_id: str
    is_erased: bool
    copy: FirstCopy


class Eraser:
    """Erases patients from a PostgreSQL warehouse.

    Args:
        dsn: Connection string of the warehouse.
        pseudonymisers: The keys of all versions that are still kept.
        hasher: The key of the suppression list.
        patience: How long transactions that were open are waited for, in seconds.
    """

    def __init__(
        self,
        dsn: str,
        pseudonymisers: Sequence[Pseudonymiser],
        hasher: SubjectHasher,
        *,
        patience: float = 600,
    ) -> None:
        self._where = warehouse.describe(dsn)
        self._pseudonymisers = pseudonymisers
        self._hasher = hasher
        self._patience = patience
        self._connection = warehouse.connect(dsn, role=warehouse.PRIVACY_OFFICER)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def count(self, patient_id: str) -> Mapping[str, int]:
        """How many rows an erasure would touch now, by table; nothing is changed.

        Raises:
            ConfigurationError: A key is missing with which pseudonyms were made.
            ServiceError: The database is lost.
        """
        with warehouse.translated_errors(self._where):
            subject = self._subject(patient_id)
            if self._is_suppressed(subject):
                subject.orders |= self._returned_orders()
            result = Erasure(uuid.uuid4())
            self._pass(subject, result)
            self._connection.rollback()
        return dict(result.rows_by_table)

    def erase(self, patient_id: str) -> Erasure:
        """Erase a patient from every layer and see that nothing is left.

        Args:
            patient_id: The id, as the sources write it.

        Raises:
            InputError: No layer has anything of such a patient.
            CheckFailedError: Something was found after all.
            ConfigurationError: A key is missing with which pseudonyms were made.
            ServiceError: The database is lost, or a transaction stays open for too long.
        """
        result = Erasure(uuid.uuid4())
        with warehouse.translated_errors(self._where):
            subject = self._subject(patient_id)
            is_known = self._is_suppressed(subject)
            while True:
                if is_known:
                    subject.orders |= self._returned_orders()
                before = result.rows_by_table.total()
                self._pass(subject, result)
                touched = result.rows_by_table.total() - before
                if not touched and not result.passes and not is_known:
                    self._connection.rollback()
                    raise nothing_found()
                result.passes += 1
                self._connection.commit()
                if not touched and result.passes > 1:
                    break
                self._wait_for_older_transactions()
            result.orders = len(subject.orders)
            self._prove(subject, result)
            self._connection.execute(
                "insert into pbm_ops.erasures (erasure_id, rows_by_table) values (%s, %s)",
                (result.erasure_id, json.dumps(dict(sorted(result.rows_by_table.items())))),
            )
            self._connection.commit()
        return result

    # ------------------------------------------------------------------ who it is

    def _subject(self, patient_id: str) -> Subject:
        tables = self._rows(
            "select table_schema, table_name from information_schema.columns"
            " inner join information_schema.tables using (table_schema, table_name)"
            " where column_name = 'patient_key_version' and table_schema = any(%s)"
            " and table_type = 'BASE TABLE'",
            list(SEARCHED),
        )
        require_known_versions(
            self._pseudonymisers,
            (
                version
                for schema, table in tables
                for (version,) in self._rows(
                    sql.SQL(
                        "select distinct patient_key_version from {}"
                        " where patient_key_version is not null"
                    ).format(sql.Identifier(schema, table))
                )
            ),
        )
        return Subject.of(patient_id, self._pseudonymisers)

    def _is_suppressed(self, subject: Subject) -> bool:
        return bool(
            self._rows(
                "select 1 from pbm_ops.suppressed_subjects where subject_hash = %s",
                self._hasher.patient(subject.patient_id),
            )
        )

    def _returned_orders(self) -> set[str]:
        """The orders on the list that a table names again.

        An erasure that was ended has not waited for an older build, which may have written them
        since; bronze no longer says whose they are.
        """
        hashes = self._rows(
            "select subject_hash from pbm_ops.suppressed_subjects where kind = 'order'"
        )
        tables = [table for table, columns in self._columns().items() if "order_id" in columns]
        orders = self._rows(
            sql.SQL(" union ").join(
                sql.SQL("select order_id from {}").format(sql.Identifier(*table.split(".")))
                for table in tables
            )
        )
        return orders_on_list(self._hasher, hashes, orders)

    # ------------------------------------------------------------------ one pass

    def _pass(self, subject: Subject, result: Erasure) -> None:
        self._execute("select pg_advisory_xact_lock(%s)", LANDING_LOCK)
        landing_time = self._rows(LANDING_TIME)[0][0]
        for payload, order_id in self._rows(
            "select payload, order_id from pbm_bronze.raw_orders where patient_key = any(%s)",
            subject.keys,
        ):
            subject.orders.add(order_id)
            subject.emails |= emails_of(payload)
        subject.shared_orders |= {
            order_id
            for (order_id,) in self._rows(
                "select distinct order_id from pbm_bronze.raw_orders"
                " where order_id = any(%s) and patient_key <> all(%s)",
                sorted(subject.orders),
                subject.keys,
            )
        }
        subject.orders -= subject.shared_orders
        self._erase_messages(subject, result, landing_time)
        self._erase_dead_letters(subject, result)
        self._erase_made(subject, result)
        with self._connection.cursor() as cursor:
            cursor.executemany(
                "insert into pbm_ops.suppressed_subjects (subject_hash, kind) values (%s, %s)"
                " on conflict (subject_hash) do nothing",
                list(subject.hashes(self._hasher).items()),
            )

    def _erase_messages(self, subject: Subject, result: Erasure, landing_time: datetime) -> None:
        """Rows of bronze to dead letters without bytes, and the counts that follow from them."""
        copies = list(self._copies(subject))
        erased = [copy for copy in copies if copy.is_erased]
        if not erased:
            return
        ids = [copy.message_id for copy in erased]
        self._execute(
            "insert into pbm_bronze.dead_letter_orders (message_id, payload_base64, attributes,"
            " error_type, error_message, publish_time, failed_at)"
            " select message_id, '', '{}', %s, %s, publish_time, %s"
            " from pbm_bronze.raw_orders where message_id = any(%s)",
            ERASED,
            ERASED_MESSAGE,
            landing_time,
            ids,
        )
        self._execute("delete from pbm_bronze.raw_orders where message_id = any(%s)", ids)
        result.rows_by_table["pbm_bronze.raw_orders"] += len(ids)
        result.shared |= bool(subject.shared_orders) or len(erased) < len(copies)
        self._correct_panes(copies, result.erasure_id, result.passes, landing_time)
        # what the job has counted as accepted is refused now: reconciliation adds up the runs
        self._execute(
            "insert into pbm_ops.ingest_runs (run_id, source, ended_at, accepted, dead_letters)"
            " values (%s, 'pbm erase', clock_timestamp(), %s, %s)",
            uuid.uuid4(),
            -len(ids),
            len(ids),
        )

    def _copies(self, subject: Subject) -> Iterator[Copy]:
        """Every message of an event that loses one; the first copy of each comes first."""
        for message_id, event_id, is_erased, *copy in self._rows(
            """
            with erased as (
                select message_id, event_id
                from pbm_bronze.raw_orders
                where
                    patient_key = any(%(keys)s)
                    or (order_id = any(%(orders)s) and patient_key is null)
            )

            select
                raw_orders.message_id, raw_orders.event_id,
                erased.message_id is not null,
                raw_orders.event_type, raw_orders.payload, raw_orders.publish_time
            from pbm_bronze.raw_orders
            left join erased using (message_id)
            where
                raw_orders.event_id in (select event_id from erased)
            order by raw_orders.event_id, raw_orders.publish_time,
                raw_orders.message_id collate "C"
            """,
            {"keys": subject.keys, "orders": sorted(subject.orders)},
        ):
            yield Copy(message_id, event_id, is_erased, FirstCopy(*copy))

    def _correct_panes(
        self, copies: Sequence[Copy], erasure_id: uuid.UUID, passes: int, landing_time: datetime
    ) -> None:
        panes = correcting_panes(copies, f"erasure {erasure_id} {passes}")
        with self._connection.cursor() as cursor:
            cursor.executemany(INSERT_PANE, [(*pane, landing_time) for pane in panes])

    def _erase_dead_letters(self, subject: Subject, result: Erasure) -> None:
        found = []
        with self._connection.cursor("dead_letters") as cursor:
            cursor.execute(
                "select message_id, payload_base64, attributes from pbm_bronze.dead_letter_orders"
                " where error_type <> %s",
                (ERASED,),
            )
            for message_id, payload_base64, attributes in cursor:
                data = base64.b64decode(str(payload_base64))
                if is_named(subject, data, attributes):
                    found.append(message_id)
        self._execute(
            "update pbm_bronze.dead_letter_orders set payload_base64 = '', attributes = '{}',"
            " error_type = %s, error_message = %s where message_id = any(%s)",
            ERASED,
            ERASED_MESSAGE,
            found,
        )
        result.rows_by_table["pbm_bronze.dead_letter_orders"] += len(found)

    def _columns(self) -> dict[str, set[str]]:
        """The columns of every table of silver, gold and the surveys."""
        columns: dict[str, set[str]] = {}
        for schema, table, column in self._rows(
            "select table_schema, table_name, column_name from information_schema.columns"
            " inner join information_schema.tables using (table_schema, table_name)"
            " where table_type = 'BASE TABLE'"
            " and (table_schema = any(%s) or table_schema || '.' || table_name = %s)",
            list(MADE_FROM_EVENTS),
            SURVEYS,
        ):
            columns.setdefault(f"{schema}.{table}", set()).add(column)
        return dict(sorted(columns.items()))

    def _erase_made(self, subject: Subject, result: Erasure) -> None:
        """Rows of silver, gold and the surveys that are the patient's."""
        parameters = {"keys": subject.keys, "orders": sorted(subject.orders)}
        for table, names in self._columns().items():
            if condition := condition_on(names, "= any(%(keys)s)", "= any(%(orders)s)"):
                statement = sql.SQL("delete from {} where {}").format(
                    sql.Identifier(*table.split(".")), sql.SQL(condition)
                )
                with self._connection.cursor() as cursor:
                    cursor.execute(statement, parameters)
                    result.rows_by_table[table] += cursor.rowcount
            for name, values in (
                ("other_patient_keys", subject.keys),
                ("other_order_ids", sorted(subject.orders)),
            ):
                if name in names:
                    self._forget_claims(table, name, values, result)

    def _forget_claims(
        self, table: str, column: str, values: Sequence[str], result: Erasure
    ) -> None:
        """Rows of other patients that remember a copy which named this one."""
        statement = sql.SQL(
            "update {} set {column} = null where exists ("
            "select from unnest(%s::text[]) as claim where strpos({column}::text, claim) > 0)"
        ).format(sql.Identifier(*table.split(".")), column=sql.Identifier(column))
        with self._connection.cursor() as cursor:
            cursor.execute(statement, (claims(values),))
            result.rows_by_table[table] += cursor.rowcount

    # ------------------------------------------------------------------ nothing comes back

    def _wait_for_older_transactions(self) -> None:
        """Wait until no transaction is open that may have read what is gone."""
        (moment,) = self._rows("select clock_timestamp()")[0]
        self._connection.commit()
        deadline = time.monotonic() + self._patience
        while True:
            open_ones, hidden = self._rows(
                "select count(*) filter (where xact_start < %s"
                " and (backend_xmin is not null or backend_xid is not null)),"
                " count(*) filter (where backend_type is null)"
                " from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()",
                moment,
            )[0]
            self._connection.commit()
            if hidden:
                raise ServiceError(
                    "The patient was erased, but it cannot be seen whether a build is open that "
                    "may bring rows back.",
                    f"Grant pg_read_all_stats to {warehouse.PRIVACY_OFFICER}, and run `pbm erase` "
                    "again.",
                )
            if not open_ones:
                return
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"The patient was erased, but {open_ones} transactions that are older have "
                    f"stayed open for {self._patience:.0f} s, and may bring rows back.",
                    "End them (a build, or a session left open), and run `pbm erase` again.",
                )
            time.sleep(0.2)

    def _prove(self, subject: Subject, result: Erasure) -> None:
        """Search every table, as text, for the patient's id, mail addresses, keys and orders."""
        texts = sorted(subject.texts)
        result.searched = len(texts)
        found = []
        for schema, table in self._rows(
            "select table_schema, table_name from information_schema.tables"
            " where table_schema = any(%s) and table_type = 'BASE TABLE' order by 1, 2",
            list(SEARCHED),
        ):
            statement = sql.SQL(
                "select count(*) from {table} as searched"
                " inner join unnest(%s::text[]) as wanted"
                " on strpos(lower(searched::text), wanted) > 0"
            ).format(table=sql.Identifier(schema, table))
            (rows,) = self._rows(statement, texts)[0]
            if rows:
                found.append(f"{schema}.{table} ({rows} rows)")
        if found:
            raise still_there(found)

    # ------------------------------------------------------------------ statements

    def _execute(self, statement: str, *parameters: object) -> None:
        self._connection.execute(statement.encode(), parameters)

    def _rows(self, statement: str | sql.Composed, *parameters: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401
        text = statement.encode() if isinstance(statement, str) else statement
        named = parameters[0] if parameters and isinstance(parameters[0], dict) else parameters
        return self._connection.execute(text, named).fetchall()


def condition_on(
    columns: Collection[str], in_keys: LiteralString, in_orders: LiteralString
) -> LiteralString | None:
    """The condition on a table's rows that are the patient's; None where no column tells.

    Args:
        columns: The table's columns.
        in_keys: ``in`` the patient's pseudonyms, as the warehouse writes it.
        in_orders: ``in`` the patient's orders.
    """
    if {"order_id", "patient_key"} <= set(columns):
        return f"patient_key {in_keys} or (patient_key is null and order_id {in_orders})"
    if "patient_key" in columns:
        return f"patient_key {in_keys}"
    return f"order_id {in_orders}" if "order_id" in columns else None


def nothing_found() -> InputError:
    """The error of an erasure of somebody whom no layer knows."""
    return InputError(
        "No layer has anything of a patient with that id.",
        "Check the id: it is the one that the sources send as patient.patient_id.",
    )


def still_there(found: Sequence[str]) -> CheckFailedError:
    """The error of an erasure whose proof found something in tables."""
    return CheckFailedError(
        f"Something of the patient is still there: {', '.join(found)}.",
        "Run `pbm erase` again; if this stays, look into these tables by hand.",
    )


def orders_on_list(
    hasher: SubjectHasher, hashes: Iterable[tuple[str]], orders: Iterable[tuple[str | None]]
) -> set[str]:
    """The orders whose hashes are on the list.

    Args:
        hasher: The list's key.
        hashes: Rows of the list.
        orders: Rows of order ids.
    """
    listed = {one for (one,) in hashes}
    return {one for (one,) in orders if one is not None and hasher.order(one) in listed}


def claims(values: Sequence[str]) -> list[str]:
    """Values as they stand in the JSON arrays of what other copies of an event name."""
    return [json.dumps(value, ensure_ascii=False) for value in values]


def require_known_versions(
    pseudonymisers: Sequence[Pseudonymiser], versions: Iterable[int]
) -> None:
    """Check that the patient's pseudonyms can be made under every key that was used.

    Args:
        pseudonymisers: The keys that are known.
        versions: The versions that rows have.

    Raises:
        ConfigurationError: A version's key is not known.
    """
    unknown = sorted(set(versions) - {one.version for one in pseudonymisers})
    if unknown:
        raise ConfigurationError(
            f"Rows have pseudonyms of key version {unknown[0]}, whose key is not known here.",
            "Finish the change of the key first: `pbm pseudonyms rekey`, then `pbm build "
            "--full-refresh`.",
        )


def correcting_panes(copies: Sequence[Copy], emission: str) -> list[Pane]:
    """Panes that take what is erased out of the live counts.

    Args:
        copies: Every message of the events that lose one, the first copy of each first.
        emission: What tells these panes from any others.
    """
    counted_before: dict[str, Copy] = {}
    counted_now: dict[str, Copy] = {}
    for copy in copies:
        counted_before.setdefault(copy.event_id, copy)
        if not copy.is_erased:
            counted_now.setdefault(copy.event_id, copy)
    changes = live.count(
        (copy.copy for copy in counted_now.values()),
        (copy.copy for copy in counted_before.values()),
    )
    return [
        live.pane(emission, start, key, change)
        for (start, key), change in changes.items()
        if change
    ]


def is_named(subject: Subject, data: bytes, attributes: object) -> bool:
    """Whether a message that was refused is the patient's."""
    patients, orders = named_in(data)
    if any(one.strip(WHITE_SPACE).upper() == subject.patient_id for one in patients):
        return True
    if patients:  # it names somebody else
        return False
    of_attributes = set(attributes.values()) if isinstance(attributes, Mapping) else set()
    if subject.orders & {*orders, *of_attributes}:
        return True
    text = data.decode("utf-8", "replace").lower()
    return any(wanted in text for wanted in subject.texts)


def emails_of(payload: str) -> set[str]:
    """The mail addresses of the patient whom a payload names."""
    patient = json.loads(payload, parse_int=str, parse_float=str)["data"]["patient"]
    email = patient.get("email")
    return {email.strip(WHITE_SPACE)} if isinstance(email, str) and "@" in email else set()
