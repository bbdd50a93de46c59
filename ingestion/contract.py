"""The contract in every form in which others read it, written from ``ingestion.events``.

`pbm contract write` writes them; a test fails when one of them is stale, and `write` refuses a
change that would break a reader unless it is told that the change is meant.

* ``infra/contract/order_event.schema.json``: JSON Schema of a message in its canonical form.
* ``infra/contract/order_event.proto``: the same as a Pub/Sub topic schema. A topic that has it
  refuses what silver could still read (a number with blanks around it), so that it is for
  publishers that promise the canonical form.
* ``infra/contract/bronze_postgres.sql``, ``bronze_bigquery.sql``: the bronze tables.
* ``infra/contract/bronze_bigquery.json``: the tables of ingestion and erasure in BigQuery, for
  Terraform.
* ``models/bronze/_bronze.yml``: bronze as dbt sources.
* ``infra/contract/order_event.contract.json``: what readers rely on, to compare a change with.
"""

import json
import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from ingestion.events import (
    EVENT_TYPES,
    MAX_ID_LENGTH,
    MAX_SCHEMA_VERSION,
    REQUIRED_FIELDS,
    SOURCE_SYSTEMS,
    ErrorType,
    EventType,
    Field,
    Kind,
)
from ingestion.live import Pane
from ingestion.sinks import REFUSED
from ingestion.suppression import ERASED
from pbm.errors import CheckFailedError
from pbm.privacy import DIRECT, QUASI
from pbm.settings import PROJECT_ROOT

FOLDER: Final = PROJECT_ROOT / "infra" / "contract"


class Column(NamedTuple):
    """A column of bronze.

    Attributes:
        name: Its name in both warehouses.
        type: ``text``, ``timestamp``, ``integer`` or ``json``.
        is_required: Whether it is never null.
        description: For the dbt sources; empty where a doc block of the column's name says it.
        values: All values that it may have, where they are listed.
        default: Its default as SQL of both warehouses, where it has one.
        privacy: What it tells about a patient, a class of ``pbm.privacy``.
    """

    name: str
    type: str
    is_required: bool = True
    description: str = ""
    values: tuple[str, ...] = ()
    default: str = ""
    privacy: str = "none"


class Table(NamedTuple):
    """A table of bronze.

    Attributes:
        name: Its name in both warehouses.
        description: Its grain first.
        columns: Its columns; the first is the key.
        loaded_at: The column by which freshness is measured and BigQuery partitions.
        hours_to_warn: Freshness in hours that is worth a warning; 0 where an empty table is good.
        hours_to_fail: Freshness in hours that is an error.
        cluster_by: The column by which BigQuery clusters.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    loaded_at: str
    hours_to_warn: int
    hours_to_fail: int
    cluster_by: str


TABLES: Final = (
    Table(
        "raw_orders",
        "One row per accepted Pub/Sub message: its envelope, checked, and the payload exactly as "
        "it came. Append-only: an event that a source sent twice is two rows.",
        (
            Column("message_id", "text"),
            Column("event_id", "text", privacy=QUASI),
            Column("event_type", "text", values=tuple(EVENT_TYPES)),
            Column("order_id", "text", privacy=QUASI),
            Column("event_timestamp", "timestamp", privacy=QUASI),
            Column("patient_key", "text", is_required=False, privacy=QUASI),
            Column("patient_key_version", "integer", is_required=False),
            Column("schema_version", "integer"),
            Column("source_system", "text", is_required=False),
            Column(
                "attributes",
                "json",
                description="The message's Pub/Sub attributes, a JSON object. The payload wins "
                "where they differ. A source may write anything into them.",
                privacy=DIRECT,
            ),
            Column(
                "payload",
                "text",
                description="The message as it was received, one JSON object. It names the "
                "patient.",
                privacy=DIRECT,
            ),
            Column("publish_time", "timestamp", privacy=QUASI),
            Column("ingested_at", "timestamp", default="now"),
        ),
        loaded_at="ingested_at",
        hours_to_warn=6,
        hours_to_fail=24,
        cluster_by="order_id",
    ),
    Table(
        "dead_letter_orders",
        "One row per message that ingestion refused, with the reason and the bytes as they were "
        "received, so that it can be replayed.",
        (
            Column("message_id", "text"),
            Column(
                "payload_base64",
                "text",
                description="The message's bytes, base64. They may name a patient.",
                privacy=DIRECT,
            ),
            Column(
                "attributes",
                "json",
                description="The message's Pub/Sub attributes, a JSON object. A source may write "
                "anything into them.",
                privacy=DIRECT,
            ),
            Column(
                "error_type",
                "text",
                description="The first reason for which it was refused: the contract's, or "
                f"`{REFUSED}` where only the warehouse would not take it, or `{ERASED}` where "
                "the patient was erased and nothing of the message is kept.",
                values=(*ErrorType, REFUSED, ERASED),
            ),
            Column(
                "error_message",
                "text",
                description="The reason in words, with the name of the field.",
            ),
            Column("publish_time", "timestamp"),
            Column("failed_at", "timestamp", description="When it was refused.", default="now"),
            Column(
                "replay_count",
                "integer",
                description="How often it was published again.",
                default="0",
            ),
            Column(
                "replayed_at",
                "timestamp",
                is_required=False,
                description="When it was last published again.",
            ),
        ),
        loaded_at="failed_at",
        hours_to_warn=0,
        hours_to_fail=0,
        cluster_by="error_type",
    ),
)

# ---------------------------------------------------------------------------------------------
# JSON Schema
# ---------------------------------------------------------------------------------------------

_RFC_3339: Final = {"type": "string", "format": "date-time"}
_JSON_TYPES: Final[Mapping[Kind, dict[str, Any]]] = {
    Kind.LISTED_CODE: {"type": "string"},
    Kind.IDENTIFIER: {"type": "string"},
    Kind.UPPER_CASE_CODE: {"type": "string"},
    Kind.TEXT: {"type": "string"},
    Kind.NUMBER: {"type": "number"},
    Kind.MONEY: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.TIMESTAMP: _RFC_3339,
    Kind.NDC: {"type": "string", "pattern": r"^(\d{11}|\d{4}-\d{4}-\d{2}|\d{5}-\d{3,4}-\d{1,2})$"},
    Kind.ZIP: {"type": "string", "pattern": r"^\d{5}(-?\d{4})?$"},
    Kind.BIRTH_DATE: {"type": "string", "format": "date"},
}


def _field_schema(field: Field) -> dict[str, Any]:
    if field.kind is Kind.OBJECT:
        return _object_schema(field.fields)
    schema = dict(_JSON_TYPES[field.kind])
    if field.codes:
        schema["enum"] = list(field.codes)
    if field.decimals == 0:
        schema["type"] = "integer"
    return schema


def _object_schema(fields: tuple[Field, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {field.name: _field_schema(field) for field in fields},
        "required": [field.name for field in fields if field.is_expected],
    }


def json_schema() -> str:
    """JSON Schema (2020-12) of a message in the form that publishers should send.

    Ingestion accepts more: silver reads values as real systems send them, and nulls the rest.
    """
    identifier = {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Order event, version 1",
        "description": "The canonical form. Ingestion checks the envelope only.",
        "type": "object",
        "properties": {
            "event_id": identifier,
            "event_type": {"enum": list(EVENT_TYPES)},
            "event_timestamp": _RFC_3339,
            "schema_version": {"type": "integer", "minimum": 1, "maximum": MAX_SCHEMA_VERSION},
            "source_system": {"enum": list(SOURCE_SYSTEMS)},
            "order_id": identifier,
            "data": {"type": "object"},
        },
        "required": list(REQUIRED_FIELDS),
        "allOf": [
            {
                "if": {"properties": {"event_type": {"const": event_type.name}}},
                "then": {"properties": {"data": _object_schema(event_type.fields)}},
            }
            for event_type in EVENT_TYPES.values()
        ],
    }
    return json.dumps(schema, indent=2) + "\n"


# ---------------------------------------------------------------------------------------------
# Pub/Sub topic schema
# ---------------------------------------------------------------------------------------------

_PROTO_TYPES: Final[Mapping[Kind, str]] = {
    Kind.NUMBER: "double",
    Kind.MONEY: "double",
    Kind.BOOLEAN: "bool",
    Kind.OBJECT: "Patient",
}


def proto() -> str:
    """The topic schema as proto3; Pub/Sub allows one file and no imports.

    Field numbers are given in order, so that a new field goes to the end of its list.
    """
    data: dict[str, Field] = {}
    for event_type in EVENT_TYPES.values():
        for field in event_type.fields:
            data.setdefault(field.name, field)
    patient = data["patient"].fields
    lines = [
        "// Topic schema of orders-topic, for publishers that send the canonical form as JSON.",
        'syntax = "proto3";',
        "",
        "message OrderEvent {",
        *_proto_fields(dict.fromkeys(REQUIRED_FIELDS, "string")),
        "  optional int32 schema_version = 5;",
        "  optional string source_system = 6;",
        "  optional Data data = 7;",
        "",
        "  message Data {",
        *_proto_fields({name: _proto_type(field) for name, field in data.items()}, "    "),
        "  }",
        "",
        "  message Patient {",
        *_proto_fields({field.name: _proto_type(field) for field in patient}, "    "),
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _proto_type(field: Field) -> str:
    return "int64" if field.decimals == 0 else _PROTO_TYPES.get(field.kind, "string")


def _proto_fields(fields: Mapping[str, str], indent: str = "  ") -> list[str]:
    return [
        f"{indent}optional {kind} {name} = {number};"
        for number, (name, kind) in enumerate(fields.items(), start=1)
    ]


# ---------------------------------------------------------------------------------------------
# DDL of both warehouses, and the dbt sources
# ---------------------------------------------------------------------------------------------

_POSTGRES_TYPES: Final = {
    "text": "text",
    "timestamp": "timestamptz",
    "integer": "integer",
    "json": "json",
}
_BIGQUERY_TYPES: Final = {
    "text": "STRING",
    "timestamp": "TIMESTAMP",
    "integer": "INT64",
    "json": "JSON",
}
_WRITTEN: Final = "Written by `pbm contract write` from ingestion/events.py and contract.py."


def postgres_ddl() -> str:
    """The bronze tables as PostgreSQL creates them; the migrations must come to the same."""
    statements = [f"-- {_WRITTEN}"]
    for table in TABLES:
        columns = []
        for number, column in enumerate(table.columns):
            default = {"now": "clock_timestamp()"}.get(column.default, column.default)
            parts = [column.name, _POSTGRES_TYPES[column.type]]
            if number == 0:
                parts.append("primary key")
            elif column.is_required:
                parts.append("not null")
            if default:
                parts.append(f"default {default}")
            columns.append("    " + " ".join(parts))
        body = ",\n".join(columns)
        statements.append(f"create table pbm_bronze.{table.name} (\n{body}\n);")
    return "\n\n".join(statements) + "\n"


def bigquery_ddl() -> str:
    """The bronze tables as BigQuery creates them."""
    statements = [f"-- {_WRITTEN}"]
    for table in TABLES:
        columns = []
        for column in table.columns:
            default = {"now": "CURRENT_TIMESTAMP()"}.get(column.default, column.default)
            parts = [f"  {column.name}", _BIGQUERY_TYPES[column.type]]
            if default:
                parts.append(f"DEFAULT {default}")
            if column.is_required:
                parts.append("NOT NULL")
            if column.description:
                parts.append(f"OPTIONS (description = {json.dumps(column.description)})")
            columns.append(" ".join(parts))
        body = ",\n".join(columns)
        statements.append(
            f"CREATE TABLE IF NOT EXISTS pbm_bronze.{table.name} (\n{body}\n)\n"
            f"PARTITION BY DATE({table.loaded_at})\n"
            f"CLUSTER BY {table.cluster_by}\n"
            f"OPTIONS (description = {json.dumps(table.description)});"
        )
    return "\n\n".join(statements) + "\n"


_MODES: Final = {True: "REQUIRED", False: "NULLABLE"}
_PANE_TYPES: Final = {str: "STRING", int: "INT64", datetime: "TIMESTAMP"}


def _required(name: str, kind: str) -> dict[str, str]:
    return {"name": name, "type": kind, "mode": "REQUIRED"}


_PRIVACY_TABLES: Final[Mapping[str, Any]] = {
    "pbm_ops.suppressed_subjects": {
        "description": "One row per patient or order whose messages are not kept: a keyed hash.",
        "partitioned_by": "suppressed_at",
        "clustering": ["subject_hash"],
        "schema": [
            _required("subject_hash", "STRING"),
            _required("kind", "STRING"),
            _required("suppressed_at", "TIMESTAMP"),
        ],
    },
    "pbm_ops.erasures": {
        "description": "One row per erasure: how many rows of which table, and not whose.",
        "partitioned_by": "erased_at",
        "clustering": ["erasure_id"],
        "schema": [
            _required("erasure_id", "STRING"),
            _required("erased_at", "TIMESTAMP"),
            _required("rows_by_table", "JSON"),
        ],
    },
    "pbm_ops.pseudonym_keys": {
        "description": "One row per version of the key of the pseudonyms, without the key.",
        "partitioned_by": "changed_at",
        "clustering": ["version"],
        "schema": [
            _required("version", "INT64"),
            _required("state", "STRING"),
            _required("changed_at", "TIMESTAMP"),
        ],
    },
}


def bigquery_tables() -> str:
    """The tables of ingestion and erasure, as Terraform makes them, policy tags apart."""
    tables: dict[str, Any] = {}
    for table in TABLES:
        schema = []
        for column in table.columns:
            field: dict[str, Any] = {
                "name": column.name,
                "type": _BIGQUERY_TYPES[column.type],
                "mode": _MODES[column.is_required],
            }
            if column.description:
                field["description"] = column.description
            if column.default:
                default = {"now": "CURRENT_TIMESTAMP()"}.get(column.default, column.default)
                field["defaultValueExpression"] = default
            schema.append(field)
        tables[f"pbm_bronze.{table.name}"] = {
            "description": table.description,
            "partitioned_by": table.loaded_at,
            "clustering": [table.cluster_by],
            "schema": schema,
        }
    panes = []
    for name, hint in typing.get_type_hints(Pane).items():
        kinds = set(typing.get_args(hint)) or {hint}
        (kind,) = kinds - {type(None)}
        mode = _MODES[type(None) not in kinds]
        panes.append({"name": name, "type": _PANE_TYPES[kind], "mode": mode})
    panes.append({"name": "emitted_at", "type": "TIMESTAMP", "mode": "REQUIRED"})
    tables["pbm_speed.live_order_metrics"] = {
        "description": "One row per pane: how many more events of one kind a minute has.",
        "partitioned_by": "emitted_at",
        "clustering": ["event_type"],
        "schema": panes,
    }
    tables |= _PRIVACY_TABLES
    return json.dumps(tables, indent=2) + "\n"


def dbt_sources() -> str:
    """Bronze as dbt sources, with freshness and tests."""
    lines = [
        f"# {_WRITTEN}",
        "version: 2",
        "",
        "anchors:",
        "  # The types for which the two warehouses have no name in common.",
        *(
            f"  - &{name} \"{{{{ '{local}' if target.type == 'postgres' else '{cloud}' }}}}\""
            for name, local, cloud in (
                ("timestamp", "timestamp with time zone", "timestamp"),
                ("integer", "integer", "int64"),
                ("text", "text", "string"),
            )
        ),
        "",
        "sources:",
        "  - name: pbm_bronze",
        "    description: >",
        *_folded(
            "What ingestion lands, as it was received. Nothing here is corrected, and nothing but "
            "silver reads it: payloads name patients.",
            6,
        ),
        "    schema: pbm_bronze",
        "    loader: apache_beam",
        "    config:",
        "      meta:",
        "        owner: Data platform",
        "    tables:",
    ]
    for table in TABLES:
        lines += [
            f"      - name: {table.name}",
            "        description: >",
            *_folded(table.description, 10),
            "        config:",
            f"          loaded_at_field: {table.loaded_at}",
            *_freshness(table),
            "          meta:",
            "            contains_phi: true",
            f"            changed_rows: {table.loaded_at} > ingested_through",
            "        data_tests:",
            "          - no_missing_values:",
            "              arguments:",
            "                columns:",
            *(
                f"                  - {column.name}"
                for column in table.columns[1:]
                if column.is_required
            ),
            "        columns:",
        ]
        for number, column in enumerate(table.columns):
            lines += _source_column(column, is_key=number == 0)
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _freshness(table: Table) -> list[str]:
    if not table.hours_to_warn:
        return ["          # an empty table is good news", "          freshness: null"]
    return [
        "          freshness:",
        f"            warn_after: {{count: {table.hours_to_warn}, period: hour}}",
        f"            error_after: {{count: {table.hours_to_fail}, period: hour}}",
        "            # bronze is partitioned by this column, and what is older is an error already",
        f"            filter: {table.loaded_at} >= cast(current_date - 2 as timestamp)",
    ]


def _source_column(column: Column, *, is_key: bool) -> list[str]:
    data_type = "json" if column.type == "json" else f"*{column.type}"
    lines = [
        f"          - name: {column.name}",
        f"            config: {{meta: {{privacy: {column.privacy}}}}}",
        f"            data_type: {data_type}",
    ]
    if column.description:
        lines += ["            description: >", *_folded(column.description, 14)]
    else:
        lines.append(f"            description: \"{{{{ doc('{column.name}') }}}}\"")
    tests = ["unique"] if is_key else []
    tests += ["not_null"] if is_key and column.is_required else []
    if tests or column.values:
        lines.append("            data_tests:")
        lines += [f"              - {test}" for test in tests]
    if column.values:
        lines += [
            "              - accepted_values:",
            "                  arguments:",
            "                    values:",
            *(f"                      - {value}" for value in column.values),
        ]
    return lines


def _folded(text: str, indent: int) -> list[str]:
    import textwrap

    return [" " * indent + line for line in textwrap.wrap(text, 80 - indent)]


# ---------------------------------------------------------------------------------------------
# What readers rely on
# ---------------------------------------------------------------------------------------------


def promises() -> dict[str, Any]:
    """What a reader of the contract may rely on, as plain data."""

    def fields(of: tuple[Field, ...], prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field in of:
            found[prefix + field.name] = {
                "kind": field.kind.value,
                "is_expected": field.is_expected,
                "codes": list(field.codes),
                "decimals": field.decimals,
            }
            found |= fields(field.fields, f"{prefix}{field.name}.")
        return found

    def event(event_type: EventType) -> dict[str, Any]:
        return {"sent_by": event_type.sent_by, "data": fields(event_type.fields)}

    return {
        "required_fields": list(REQUIRED_FIELDS),
        "max_id_length": MAX_ID_LENGTH,
        "error_types": [*ErrorType, REFUSED, ERASED],
        "event_types": {name: event(event_type) for name, event_type in EVENT_TYPES.items()},
        "tables": {
            table.name: {
                column.name: {"type": column.type, "is_required": column.is_required}
                for column in table.columns
            }
            for table in TABLES
        },
    }


def breaking_changes(old: Any, new: Any, path: str = "") -> list[str]:  # noqa: ANN401  JSON
    """What a reader of ``old`` would stumble over in ``new``.

    What is new breaks nobody: a field, an event type, a column, a listed code at the end. What is
    gone or means something else does, and so does a length that grows, a field that is no longer
    sent always, or one more that a publisher must send.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        found = [f"{path}{name} is gone" for name in old if name not in new]
        for name in old.keys() & new.keys():
            found += breaking_changes(old[name], new[name], f"{path}{name}.")
        return sorted(found)
    where = path.removesuffix(".")
    if where == "required_fields":
        return [] if old == new else [f"{where} are {new}, and were {old}"]
    if isinstance(old, list) and isinstance(new, list):
        return [f"{where}: {value} is gone" for value in old if value not in new]
    return [] if old == new else [f"{where} is {new}, and was {old}"]


# ---------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------

_PROMISES: Final = FOLDER / "order_event.contract.json"
FILES: Final[Mapping[Path, Callable[[], str]]] = {
    FOLDER / "order_event.schema.json": json_schema,
    FOLDER / "order_event.proto": proto,
    FOLDER / "bronze_postgres.sql": postgres_ddl,
    FOLDER / "bronze_bigquery.sql": bigquery_ddl,
    FOLDER / "bronze_bigquery.json": bigquery_tables,
    PROJECT_ROOT / "models" / "bronze" / "_bronze.yml": dbt_sources,
    _PROMISES: lambda: json.dumps(promises(), indent=2) + "\n",
}


def stale_files() -> list[Path]:
    """The files that are not what the contract says now."""
    return [
        path for path, render in FILES.items() if not path.exists() or path.read_text() != render()
    ]


def write(*, breaking: bool = False) -> list[Path]:
    """Write what is stale, and return it.

    Args:
        breaking: Whether a change that breaks readers is meant.

    Raises:
        CheckFailedError: The contract changed so that a reader would break.
    """
    if _PROMISES.exists() and not breaking:
        changes = breaking_changes(json.loads(_PROMISES.read_text()), promises())
        if changes:
            raise CheckFailedError(
                f"The contract changed so that readers break: {'; '.join(changes)}.",
                "Add rather than change; or, with every reader told, use --breaking and raise "
                "schema_version.",
            )
    stale = stale_files()
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FILES[path]())
    return stale
