"""BigQuery's SQL, analysed and executed offline by ZetaSQL: Google's front end and its engine.

ZetaSQL is BigQuery's compiler front end. Its reference engine is slow and plans nothing, but what
it answers is what GoogleSQL means. It says nothing of cost, of quotas or of partition pruning.
"""

import ctypes
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import wasmtime
from google.protobuf import empty_pb2
from zetasql.core.wasm_client import WasmClient
from zetasql.wasi import get_wasm_path
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto import options_pb2, simple_catalog_pb2
from zetasql.wasi._pb2.zetasql.public import options_pb2 as public_options
from zetasql.wasi._pb2.zetasql.public import type_pb2, value_pb2
from zetasql.wasi._pb2.zetasql.resolved_ast import resolved_node_kind_pb2 as node_kinds

FEATURES: Final = Path(__file__).with_name("zetasql_bigquery_features.txt")
"""The language features that BigQuery has, as Google's zetasql-toolkit lists them."""

Columns = Mapping[str, str]
"""A table's columns: their names and their types in BigQuery's words."""

Cell = (
    None | bool | int | float | str | bytes | date | datetime | Decimal | list[Any] | dict[str, Any]
)

_CATALOGS_KEPT: Final = 32

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DIGITS: Final = 80  # BIGNUMERIC has up to 77
_SCALES: Final = {"numeric_value": 9, "bignumeric_value": 38}

_OTHER_NAMES: Final = {
    "BOOLEAN": "BOOL",
    "INTEGER": "INT64",
    "INT": "INT64",
    "BIGINT": "INT64",
    "FLOAT": "FLOAT64",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
    "TEXT": "STRING",
}


class SqlError(Exception):
    """What ZetaSQL has against a statement."""


# ---------------------------------------------------------------------------------------------
# Types
# ---------------------------------------------------------------------------------------------


def type_name(name: str) -> str:
    """A type's one name, without parameters: ``NUMERIC`` for ``numeric(18, 2)``.

    Args:
        name: As YAML, a REST schema or DDL writes it.
    """
    plain = re.sub(r"\([^)]*\)", "", name).strip()
    if match := re.fullmatch(r"(?i)(array)\s*<(.*)>", plain, re.DOTALL):
        return f"ARRAY<{type_name(match[2])}>"
    if match := re.fullmatch(r"(?i)(struct)\s*<(.*)>", plain, re.DOTALL):
        fields = (part.split(None, 1) for part in _at_top_level(match[2]))
        return f"STRUCT<{', '.join(f'{field} {type_name(kind)}' for field, kind in fields)}>"
    return _OTHER_NAMES.get(plain.upper(), plain.upper())


def _at_top_level(fields: str) -> Iterator[str]:
    """The parts between the commas that no bracket encloses."""
    depth = start = 0
    for place, character in enumerate(fields):
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "," and depth == 0:
            yield fields[start:place].strip()
            start = place + 1
    yield fields[start:].strip()


def _type_proto(name: str) -> Any:
    name = type_name(name)
    proto = type_pb2.TypeProto()
    if name.startswith("ARRAY<"):
        proto.type_kind = type_pb2.TYPE_ARRAY
        proto.array_type.element_type.CopyFrom(_type_proto(name[6:-1]))
    elif name.startswith("STRUCT<"):
        proto.type_kind = type_pb2.TYPE_STRUCT
        for part in _at_top_level(name[7:-1]):
            field_name, kind = part.split(None, 1)
            proto.struct_type.field.add(field_name=field_name, field_type=_type_proto(kind))
    else:
        kind = {"FLOAT64": "DOUBLE"}.get(name, name)
        proto.type_kind = type_pb2.TypeKind.Value(f"TYPE_{kind}")
    return proto


def _name_of(proto: Any) -> str:
    kind: str = type_pb2.TypeKind.Name(proto.type_kind).removeprefix("TYPE_")
    if kind == "ARRAY":
        return f"ARRAY<{_name_of(proto.array_type.element_type)}>"
    if kind == "STRUCT":
        fields = (f"{f.field_name} {_name_of(f.field_type)}" for f in proto.struct_type.field)
        return f"STRUCT<{', '.join(fields)}>"
    return {"DOUBLE": "FLOAT64"}.get(kind, kind)


# ---------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------


def _value_proto(value: Cell, kind: str) -> Any:  # noqa: C901 - one case for each type
    proto = value_pb2.ValueProto()
    if value is None:
        return proto
    match kind, value:
        case "BOOL", bool():
            proto.bool_value = value
        case "INT64", int():
            proto.int64_value = value
        case "FLOAT64", float() | int():
            proto.double_value = value
        case "STRING", str():
            proto.string_value = value
        case "BYTES", bytes():
            proto.bytes_value = value
        case "JSON", str():
            proto.json_value = value
        case "NUMERIC" | "BIGNUMERIC", Decimal() | int():
            member = f"{kind.lower()}_value"
            setattr(proto, member, _scaled(Decimal(value), _SCALES[member]))
        case "TIMESTAMP", datetime():
            microseconds = (value - _EPOCH) // _MICROSECOND
            proto.timestamp_value.seconds = microseconds // 1_000_000
            proto.timestamp_value.nanos = microseconds % 1_000_000 * 1000
        case "DATE", date():
            proto.date_value = value.toordinal() - _EPOCH.toordinal()
        case _:
            raise TypeError(f"{type(value).__name__} is no value for a column of type {kind}.")
    return proto


def _scaled(value: Decimal, scale: int) -> bytes:
    """A decimal as ZetaSQL packs it: little-endian two's complement, as short as it can be."""
    with localcontext(prec=_DIGITS):
        whole = int(value.scaleb(scale).to_integral_exact())
    return whole.to_bytes(whole.bit_length() // 8 + 1, "little", signed=True)


def _value(proto: Any, kind: str) -> Cell:  # noqa: PLR0911 - one for each type
    member = proto.WhichOneof("value")
    if member is None:
        return None
    value: Any = getattr(proto, member)
    if member in _SCALES:
        scaled = int.from_bytes(value, "little", signed=True)
        with localcontext(prec=_DIGITS):
            return Decimal(scaled).scaleb(-_SCALES[member])
    match member:
        case "date_value":
            return date.fromordinal(_EPOCH.toordinal() + value)
        case "timestamp_value":
            return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)
        case "array_value":
            return [_value(element, kind[6:-1]) for element in value.element]
        case "struct_value":
            fields = [part.split(None, 1) for part in _at_top_level(kind[7:-1])]
            return {
                name: _value(cell, field_kind)
                for (name, field_kind), cell in zip(fields, value.field, strict=True)
            }
        case _:
            return value  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Table:
    """Columns and rows; the rows stay as ZetaSQL packs them, to be given back as they came.

    Attributes:
        columns: Names and types.
        packed: The rows, packed.
    """

    columns: Columns
    packed: Any = field(default_factory=service.TableContent, repr=False)

    @classmethod
    def of(cls, columns: Columns, rows: Iterable[Sequence[Cell]]) -> "Table":
        """A table of Python values."""
        kinds = [type_name(kind) for kind in columns.values()]
        content = service.TableContent()
        for row in rows:
            cells = (_value_proto(value, kind) for value, kind in zip(row, kinds, strict=True))
            content.table_data.row.add().cell.extend(cells)
        return cls(columns, content)

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        """The rows as Python values, in the columns' order."""
        kinds = list(self.columns.values())
        return [
            tuple(_value(cell, kind) for cell, kind in zip(row.cell, kinds, strict=True))
            for row in self.packed.table_data.row
        ]


# ---------------------------------------------------------------------------------------------
# The engine
# ---------------------------------------------------------------------------------------------


class Analysis(NamedTuple):
    """What the analyser says of a statement.

    Attributes:
        kind: Such as ``query``, ``merge``, ``create_table_as_select``.
        columns: What a query, or the query of a table or view, gives.
    """

    kind: str
    columns: Columns


class _Client(WasmClient):  # type: ignore[misc]
    """The package's client, which copies memory byte by byte, made quick."""

    def write_bytes(self, ptr: int, data: bytes) -> None:
        ctypes.memmove(ctypes.addressof(self.memory.data_ptr().contents) + ptr, data, len(data))

    def read_bytes(self, ptr: int, size: int) -> bytes:
        return ctypes.string_at(ctypes.addressof(self.memory.data_ptr().contents) + ptr, size)


class ZetaSql:
    """The engine, with BigQuery's features and no others.

    Args:
        cache: Where the compiled WebAssembly is kept: compiling it takes half a minute.
    """

    def __init__(self, cache: Path) -> None:
        compile_module = wasmtime.Module.from_file

        def from_file(engine: Any, path: str) -> Any:
            kept = cache / f"{version('wasmtime')}-{Path(path).stat().st_size}"
            if not kept.exists():
                draft = kept.with_suffix(f".{id(self)}.draft")
                draft.write_bytes(compile_module(engine, path).serialize())
                draft.replace(kept)  # another process may do the same at the same time
            return wasmtime.Module.deserialize_file(engine, str(kept))

        self._answers: dict[tuple[str, int], Table] = {}
        self._catalogs: OrderedDict[Any, tuple[int, Mapping[str, Table]]] = OrderedDict()
        with patch.object(wasmtime.Module, "from_file", staticmethod(from_file)):
            self._client = _Client(get_wasm_path())
        self._options = options_pb2.AnalyzerOptionsProto(
            language_options=_LANGUAGE, default_timezone="UTC"
        )

    def analyze(
        self, sql: str, tables: Mapping[str, Table], parameters: Columns | None = None
    ) -> Analysis:
        """Analyse one statement.

        Args:
            sql: The statement.
            tables: Every table that it may name, by ``project.dataset.table``.
            parameters: The type of each ``@name`` that it may bind.

        Raises:
            SqlError: BigQuery would refuse it, as far as the analyser can tell.
        """
        options = options_pb2.AnalyzerOptionsProto()
        options.CopyFrom(self._options)
        for name, kind in (parameters or {}).items():
            options.query_parameters.add(name=name, type=_type_proto(kind))
        request = service.AnalyzeRequest(
            sql_statement=one_name(sql),
            registered_catalog_id=self._registered(tables),
            options=options,
        )
        answer = self._call("Analyze", request, service.AnalyzeResponse)
        member, statement = _innermost(answer.resolved_statement)
        outputs = getattr(statement, "output_column_list", ())
        columns = {output.name: _name_of(output.column.type) for output in outputs}
        kind = member.removeprefix("resolved_").removesuffix("_node").removesuffix("_stmt")
        return Analysis(kind, columns)

    def parse(self, sql: str) -> "Syntax":
        """The syntax of a statement, without asking what its names mean.

        Raises:
            SqlError: It is none.
        """
        request = service.ParseRequest(sql_statement=sql, options=_LANGUAGE)
        answer = self._call("Parse", request, service.ParseResponse)
        return Syntax(*_innermost(answer.parsed_statement), sql.encode())

    def execute(self, sql: str, tables: Mapping[str, Table]) -> Table:
        """Run one query.

        Args:
            sql: The query.
            tables: Every table that it may name, by ``project.dataset.table``.

        Raises:
            SqlError: It is refused, or fails at one of its rows.
        """
        key = (sql, self._registered(tables))
        if key not in self._answers:
            request = service.EvaluateQueryRequest(
                sql=one_name(sql), registered_catalog_id=key[1], options=self._options
            )
            answer = self._call("EvaluateQuery", request, service.EvaluateQueryResponse)
            columns = {column.name: _name_of(column.type) for column in answer.prepared.columns}
            self._answers[key] = Table(columns, answer.content)
        return self._answers[key]

    def _registered(self, tables: Mapping[str, Table]) -> int:
        """The id of a catalog of these tables; the last few are kept, as making one is slow."""
        key = tuple((name, id(table)) for name, table in sorted(tables.items()))
        if key not in self._catalogs:
            if len(self._catalogs) == _CATALOGS_KEPT:
                _, (oldest, _) = self._catalogs.popitem(last=False)
                unregister = service.UnregisterRequest(registered_id=oldest)
                self._call("UnregisterCatalog", unregister, empty_pb2.Empty)
            request = service.RegisterCatalogRequest(
                simple_catalog=_catalog({name: table.columns for name, table in tables.items()})
            )
            for name, table in tables.items():
                request.table_content[name].CopyFrom(table.packed)
                request.table_content[name].table_data.SetInParent()
            answer = self._call("RegisterCatalog", request, service.RegisterResponse)
            # the tables themselves are kept, so that no other gets their ids
            self._catalogs[key] = (answer.registered_id, dict(tables))
        self._catalogs.move_to_end(key)
        return self._catalogs[key][0]

    def _call(self, method: str, request: Any, response: Any) -> Any:
        try:
            return self._client.call_grpc_func(f"ZetaSqlLocalService_{method}", request, response)
        except Exception as error:
            raise SqlError(str(error)) from error


class Syntax:
    """A node of a statement's syntax tree.

    Args:
        member: What kind of node it is.
        node: The node.
        sql: The whole statement's bytes, in which nodes name their places.
    """

    def __init__(self, member: str, node: Any, sql: bytes) -> None:
        self.kind = member.removeprefix("ast_").removesuffix("_node").removesuffix("_statement")
        self._node = node
        self._sql = sql

    def __getitem__(self, name: str) -> "Syntax":
        """The node's one child of a name."""
        return Syntax(*_innermost(getattr(self._owner(name), name)), self._sql)

    def all(self, name: str) -> list["Syntax"]:
        """The node's children of a name."""
        nodes = getattr(self._owner(name), name)
        return [Syntax(*_innermost(node), self._sql) for node in nodes]

    def has(self, name: str) -> bool:
        """Whether there is a child of a name, which is no list."""
        return bool(self._owner(name).HasField(name))

    @property
    def text(self) -> str:
        """The node as the statement writes it."""
        place = self._owner("parse_location_range").parse_location_range
        return self._sql[place.start : place.end].decode()

    def _owner(self, name: str) -> Any:
        """The node, or the one of its base classes that has a member of this name."""
        node = self._node
        while name not in node.DESCRIPTOR.fields_by_name:
            node = node.parent
        return node


def _innermost(message: Any) -> tuple[str, Any]:
    """What a message that only says which of several it holds, holds; and its member's name."""
    member = ""
    while message.DESCRIPTOR.name.startswith("Any"):
        (one_of,) = message.DESCRIPTOR.oneofs
        member = message.WhichOneof(one_of.name)
        message = getattr(message, member)
    return member, message


def one_name(sql: str) -> str:
    """The statement with each ```a`.`b`.`c``` as ```a.b.c```, which is the same to BigQuery."""
    return re.sub(r"`([\w-]+)`\.`([\w$-]+)`\.`([\w$-]+)`", r"`\1.\2.\3`", sql)


def _catalog(tables: Mapping[str, Columns]) -> Any:
    catalog = simple_catalog_pb2.SimpleCatalogProto(name="bigquery")
    catalog.builtin_function_options.language_options.CopyFrom(_LANGUAGE)
    for name, columns in tables.items():
        table = catalog.table.add(name=name)
        for column, kind in columns.items():
            table.column.add(name=column, type=_type_proto(kind))
    return catalog


def _language() -> Any:
    features = public_options.LanguageFeature
    listed = {f"FEATURE_{name}" for name in FEATURES.read_text().split()}
    return options_pb2.LanguageOptionsProto(
        product_mode=public_options.PRODUCT_EXTERNAL,
        # the list is newer than this build of ZetaSQL, which lacks a few
        enabled_language_features=[n for name, n in features.items() if name in listed],
        supported_statement_kinds=[
            n for name, n in node_kinds.ResolvedNodeKind.items() if name.endswith("_STMT")
        ],
        reserved_keywords=["QUALIFY"],
    )


_LANGUAGE: Final = _language()
