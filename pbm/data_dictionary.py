"""The data dictionary: every table and column in Markdown, from dbt's manifest alone."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pbm.dbt_manifest import PROJECT
from pbm.privacy import DIRECT, QUASI, SENSITIVE, class_of
from pbm.settings import PROJECT_ROOT

PATH: Final = PROJECT_ROOT / "docs" / "data-dictionary.md"

_HEAD: Final = """\
# Data dictionary

Every table and view of the warehouse, as the dbt project declares them. Written by
`pbm dictionary write`; `make test` fails when it is stale. Where the two warehouses call a type
by different names, PostgreSQL's comes first and BigQuery's second. All times are UTC.

The class of a column says what it tells about a patient ([privacy](privacy.md)): **direct** names
one and exists in bronze only, quasi points at one together with other things, sensitive is about
health or money, and a blank is neither. **PHI** marks a table that holds direct identifiers.
"""

# What stands in each schema, in the order of the data's way.
SCHEMAS: Final[Mapping[str, str]] = {
    "pbm_bronze": "What ingestion lands, as it was received.",
    "pbm_speed": "What the stream counts while it lands events.",
    "survey_data": "Survey answers as they came in, and reports from them alone: in Cloud SQL.",
    "pbm_seeds": "Lists that change by a commit.",
    "pbm_silver": "Events, orders and survey answers, clean and without direct identifiers.",
    "pbm_gold": "The star schema and the daily marts.",
    "pbm_serving": "Batch and speed joined: what holds at this second.",
}

_CLASSES: Final = {SENSITIVE: "sensitive", QUASI: "quasi", DIRECT: "**direct**"}


class Column(NamedTuple):
    """A column, and what is known of it."""

    name: str
    type: str
    tests: tuple[str, ...]
    privacy: str
    description: str


class Table(NamedTuple):
    """A table or view, and what is known of it."""

    schema: str
    name: str
    kind: str
    owner: str
    description: str
    contains_phi: bool
    tests: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def grain(self) -> str:
        """The first sentence of its description; an abbreviation's full stop ends none."""
        return re.split(r"(?<=[a-z0-9`)]\.)\s+(?=[A-Z0-9`])", self.description, maxsplit=1)[0]


def render(local: Mapping[str, Any], prod: Mapping[str, Any]) -> str:
    """The dictionary as Markdown.

    Args:
        local: The manifest of the project built for PostgreSQL.
        prod: The manifest of the project built for BigQuery.

    Raises:
        KeyError: A table lies in a schema that ``SCHEMAS`` does not name.
    """
    found = sorted(tables(local, prod), key=lambda table: table.name)
    unknown = {table.schema for table in found} - set(SCHEMAS)
    if unknown:
        raise KeyError(f"no description of the schemas {sorted(unknown)}")
    parts = [_HEAD, "\n".join(_contents(found))]
    for schema, what in SCHEMAS.items():
        parts.append(f"## `{schema}`\n\n{what}")
        parts += ["\n".join(_section(table)) for table in found if table.schema == schema]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def tables(local: Mapping[str, Any], prod: Mapping[str, Any]) -> Iterator[Table]:
    """Every source, seed and model of the two manifests."""
    tests = _tests(local)
    nodes = {
        key: node
        for part in ("sources", "nodes")
        for key, node in local[part].items()
        if node["resource_type"] in {"source", "seed", "model"} and node["package_name"] == PROJECT
    }
    for key, node in nodes.items():
        other = prod["sources" if node["resource_type"] == "source" else "nodes"][key]
        yield Table(
            schema=node["schema"],
            name=node.get("alias") or node["name"],
            kind=_kind(node),
            owner=_owner(node, local),
            description=_words(node["description"]),
            contains_phi=_contains_phi(node),
            tests=tuple(tests.get((key, None), ())),
            columns=tuple(
                Column(
                    name=name,
                    type=_type(_declared(node, name), _declared(other, name)),
                    tests=tuple(tests.get((key, name), ())),
                    privacy=str(class_of(column)),
                    description=_words(column["description"]),
                )
                for name, column in node["columns"].items()
            ),
        )


def stale(text: str, path: Path = PATH) -> bool:
    """Whether the file is not what the project says now."""
    return not path.exists() or path.read_text() != text


def _contents(found: Iterable[Table]) -> list[str]:
    lines = ["| table | grain | PHI |", "|---|---|---|"]
    order = list(SCHEMAS)
    for table in sorted(found, key=lambda table: order.index(table.schema)):
        link = f"[`{table.schema}.{table.name}`](#{table.schema}{table.name})"
        lines.append(f"| {link} | {_cell(table.grain)} | {_mark(table.contains_phi)} |")
    return lines


def _section(table: Table) -> list[str]:
    rest = table.description.removeprefix(table.grain).strip()
    lines = [f"### `{table.schema}.{table.name}`", "", f"**{table.grain}** {rest}".strip(), ""]
    facts = [table.kind, f"owner: {table.owner}"]
    if table.contains_phi:
        facts.append("**PHI**")
    lines += [" · ".join(facts), ""]
    if table.tests:
        lines += ["Tests of the whole table:", "", *(f"- {test}" for test in table.tests), ""]
    lines += ["| column | type | tests | class | description |", "|---|---|---|---|---|"]
    lines += [
        f"| `{column.name}` | {_cell(column.type)} | {_cell(', '.join(column.tests))} "
        f"| {_CLASSES.get(column.privacy, '')} | {_cell(column.description)} |"
        for column in table.columns
    ]
    return lines


def _kind(node: Mapping[str, Any]) -> str:
    if node["resource_type"] != "model":
        return str(node["resource_type"])
    return f"{node['config']['materialized']} model, {node['access']}"


def _owner(node: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    if node["resource_type"] == "source":
        return str(node["source_meta"]["owner"])
    group = node.get("group") or node["config"]["group"]
    return str(manifest["groups"][f"group.{PROJECT}.{group}"]["owner"]["name"])


def _contains_phi(node: Mapping[str, Any]) -> bool:
    return bool(node["config"]["meta"].get("contains_phi"))


def _declared(node: Mapping[str, Any], column: str) -> str:
    """The type by the contract of a model, the YAML of a source, the column types of a seed."""
    declared = node["columns"][column].get("data_type")
    return str(declared or node["config"].get("column_types", {}).get(column) or "")


def _type(local: str, prod: str) -> str:
    return f"`{local}`" if local == prod else f"`{local}` / `{prod}`"


def _tests(manifest: Mapping[str, Any]) -> dict[tuple[str, str | None], list[str]]:
    """What is tested, by table and column; singular tests stand at every table that they read."""
    found: dict[tuple[str, str | None], list[str]] = {}
    nodes = manifest["nodes"].values()
    tests = [node for node in nodes if node["resource_type"] == "test"]
    for test in sorted(tests, key=lambda test: str(test["unique_id"])):
        metadata = test.get("test_metadata")
        if metadata:
            place = (_tested(test), test["column_name"])
            found.setdefault(place, []).append(_in_words(metadata))
        else:
            for table in test["depends_on"]["nodes"]:
                found.setdefault((table, None), []).append(f"`{test['name']}`")
    return {place: sorted(set(words)) for place, words in found.items()}


def _tested(test: Mapping[str, Any]) -> str:
    # a test of a source is attached to no node: the source is all that it reads
    return str(test["attached_node"] or test["depends_on"]["nodes"][0])


def _in_words(metadata: Mapping[str, Any]) -> str:
    name, arguments = metadata["name"], metadata["kwargs"]
    if name == "relationships":
        to = re.sub(r".*ref\('([^']+)'\).*", r"\1", arguments["to"])
        return f"in `{to}.{arguments['field']}`"
    if name == "accepted_values":
        return "one of " + " ".join(f"`{value}`" for value in arguments["values"])
    if name == "unique_combination":
        return "unique: " + ", ".join(f"`{column}`" for column in arguments["columns"])
    if name == "expression_is_true":
        return f"`{_words(arguments['expression'])}`"
    return str(name).replace("_", " ")


def _words(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _mark(contains_phi: bool) -> str:  # noqa: FBT001
    return "PHI" if contains_phi else ""
