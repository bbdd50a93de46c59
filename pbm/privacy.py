"""Privacy as code: one class for every column, and what is made of it.

The dbt project gives each column of each source, seed and model a class (``config.meta.privacy``).
`pbm privacy write` makes two files of the classes: the grants of PostgreSQL (``pbm/grants.sql``,
by the roles in ``infra/privacy/roles.yml``) and BigQuery's policy tags
(``infra/privacy/bigquery.json``, which Terraform reads). A test fails when one is stale, when a
column has no class, and when a role can read what it should not.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field

from pbm.dbt_manifest import PROJECT
from pbm.errors import CheckFailedError
from pbm.settings import PROJECT_ROOT

NONE: Final = "none"
SENSITIVE: Final = "sensitive"
QUASI: Final = "quasi_identifier"
DIRECT: Final = "direct_identifier"

CLASSES: Final[Mapping[str, str]] = {
    NONE: "Says nothing about a patient: reference data, counts over many, bookkeeping.",
    SENSITIVE: "Says something about a patient's health or money, and not about whom: a drug, a "
    "payer, an amount, a status.",
    QUASI: "Points at a patient together with other things: a pseudonym, an order's number, a "
    "date of care, the year of birth, sex, state or three digits of the ZIP code.",
    DIRECT: "Names a patient, or is text as received that may. Bronze and the survey's own table "
    "hold such; nothing else may.",
}
"""What the classes mean, from the least to the most telling."""

MASKING: Final[Mapping[str, str]] = {SENSITIVE: "ALWAYS_NULL", QUASI: "SHA256", DIRECT: ""}
"""How BigQuery shows a column to whoever may see it masked only; nobody sees a direct one."""

HOLDS_IDENTIFIERS: Final = ("pbm_bronze", "survey_data")
"""The schemas that may hold direct identifiers."""

IN_BIGQUERY_TOO: Final = (
    "pbm_ops.suppressed_subjects",
    "pbm_ops.erasures",
    "pbm_ops.pseudonym_keys",
)
"""Tables outside dbt that BigQuery has as well; the others are of the local stack's ingestion."""

ROLES_FILE: Final = PROJECT_ROOT / "infra" / "privacy" / "roles.yml"
GRANTS_FILE: Final = PROJECT_ROOT / "pbm" / "grants.sql"
BIGQUERY_FILE: Final = PROJECT_ROOT / "infra" / "privacy" / "bigquery.json"

_OWNER: Final = "pbm_transformer"

_GRANTS_HEAD: Final = """\
-- Written by `pbm privacy write` from infra/privacy/roles.yml and the classes of columns in the dbt
-- project. `pbm up` applies it when it changed; run again, it changes nothing."""

_CREATE_ROLES: Final = """\
do $$
declare
    role_name text;
begin
    foreach role_name in array array[{roles}] loop
        begin
            execute format('create role %I nologin', role_name);
        exception
            -- roles belong to the whole server: another database of it may have made them
            when duplicate_object or unique_violation then null;
        end;
        execute format('grant %I to current_user with set true, inherit true', role_name);
    end loop;
end
$$;"""

_MEMBER: Final = """\
do $$
begin
    grant {other} to {role};
exception
    when insufficient_privilege then
        raise notice 'this user may not grant {other} to {role}: an administrator has to';
end;
$$;"""

# in a schema that has tables of migrations too
_GRANT_ON_MADE: Final = """\
do $$
declare
    made regclass;
begin
    for made in
        select oid from pg_class
        where
            relnamespace = '{schema}'::regnamespace
            and relkind in ('r', 'v', 'm', 'p')
            and relowner = 'pbm_transformer'::regrole
    loop
        execute format('grant {what} on %s to {role}', made);
    end loop;
end
$$;"""


class Role(BaseModel):
    """A PostgreSQL role; see ``infra/privacy/roles.yml``."""

    model_config = ConfigDict(extra="forbid")

    workload: str
    who: str
    why: str
    sources: dict[str, str] = Field(default_factory=dict)
    models: dict[str, str] = Field(default_factory=dict)
    owns: list[str] = Field(default_factory=list)
    creates_in: list[str] = Field(default_factory=list)
    changes_models: list[str] = Field(default_factory=list)
    writes: dict[str, list[str]] = Field(default_factory=dict)
    member_of: list[str] = Field(default_factory=list)


class RolesFile(BaseModel):
    """The file with the roles."""

    model_config = ConfigDict(extra="forbid")

    roles: dict[str, Role]
    tables_outside_dbt: dict[str, dict[str, str]]


class Table(NamedTuple):
    """A table or view, and the class of each of its columns."""

    name: str
    is_source: bool
    columns: Mapping[str, str]

    @property
    def schema(self) -> str:
        """The schema it lies in."""
        return self.name.partition(".")[0]


def rank(privacy: str) -> int:
    """How telling a class is, from 0."""
    return list(CLASSES).index(privacy)


def read_roles(path: Path = ROLES_FILE) -> RolesFile:
    """The roles, as the file has them."""
    return RolesFile.model_validate(yaml.safe_load(path.read_text()))


class Privacy:
    """The classes of a project, and what is made of them.

    Args:
        manifest: dbt's manifest of the project built for PostgreSQL.
        roles: Who may do what.

    Raises:
        CheckFailedError: A column has no class, or an identifier lies outside bronze.
    """

    def __init__(self, manifest: Mapping[str, Any], roles: RolesFile) -> None:
        self._manifest = manifest
        self.roles = roles.roles
        self._outside = roles.tables_outside_dbt
        problems = [*self._unclassified(), *self._misplaced()]
        if problems:
            raise CheckFailedError(
                f"The classes of columns are not right: {'; '.join(problems)}.",
                "Give the column `config: {meta: {privacy: …}}` in its YAML: "
                f"{', '.join(CLASSES)}. Direct identifiers stay in bronze.",
            )

    @cached_property
    def tables(self) -> dict[str, Table]:
        """Every table and view, by schema and name."""
        found = {table.name: table for table in _dbt_tables(self._manifest)}
        for name, columns in self._outside.items():
            found[name] = Table(name, is_source=True, columns=columns)
        return dict(sorted(found.items()))

    @cached_property
    def schemas(self) -> set[str]:
        """The schemas that have a table."""
        return {table.schema for table in self.tables.values()}

    def readable(self, role: str) -> dict[str, set[str]]:
        """The columns that a role may read, by table; what it owns is all of it."""
        of = self.roles[role]
        found: dict[str, set[str]] = {}
        for table in self.tables.values():
            limits = (of.sources if table.is_source else of.models).items()
            limit = max(
                (rank(to) for at, to in limits if at in {table.name, table.schema}), default=-1
            )
            if not table.is_source and table.schema in {*of.owns, *of.creates_in}:
                limit = rank(DIRECT)
            columns = {name for name, kind in table.columns.items() if rank(kind) <= limit}
            if columns:
                found[table.name] = columns
        return found

    # ------------------------------------------------------------------ PostgreSQL

    def grants(self) -> str:
        """The grants as SQL that may be run at any time, again and again."""
        return "\n".join(self._grant_lines()) + "\n"

    def _grant_lines(self) -> Iterator[str]:
        yield _GRANTS_HEAD
        yield _CREATE_ROLES.format(roles=", ".join(f"'{name}'" for name in self.roles))
        for name, role in self.roles.items():
            for other in role.member_of:
                yield _MEMBER.format(other=other, role=name)
        everybody = ", ".join(self.roles)
        others = ", ".join(name for name in self.roles if name != _OWNER)
        owned = set(self.roles[_OWNER].owns)
        for schema in sorted(self.schemas):
            yield ""
            yield f"-- {schema}"
            revoked = others if schema in owned else everybody
            yield f"revoke all on schema {schema} from {revoked};"
            yield f"revoke all on all tables in schema {schema} from {others};"
            yield from self._revoke_owners(schema)
            yield (
                f"alter default privileges for role {_OWNER} in schema {schema}\n"
                f"revoke all on tables from {others};"
            )
            for name in self.roles:
                yield from self._grants_of(name, schema)

    def _revoke_owners(self, schema: str) -> Iterator[str]:
        """The owner of dbt's tables keeps what it owns, and loses its grants on the others."""
        for table in self.tables.values():
            if table.schema == schema and table.is_source:
                yield f"revoke all on {table.name} from {_OWNER};"

    def _grants_of(self, role: str, schema: str) -> Iterator[str]:
        of = self.roles[role]
        lines: list[str] = []
        for table, columns in self.readable(role).items():
            if self.tables[table].schema != schema or not self.tables[table].is_source:
                continue
            if columns == set(self.tables[table].columns):
                lines.append(f"grant select on {table} to {role};")
            else:
                kept = ", ".join(one for one in self.tables[table].columns if one in columns)
                lines.append(f"grant select ({kept}) on {table} to {role};")
        if schema in of.models:
            self._require_whole(role, schema)
            what = ", ".join(["select", *(of.changes_models if schema != "pbm_serving" else [])])
            if any(table.is_source for table in self.tables.values() if table.schema == schema):
                lines.append(_GRANT_ON_MADE.format(what=what, schema=schema, role=role))
            else:
                lines.append(f"grant {what} on all tables in schema {schema} to {role};")
            lines.append(
                f"alter default privileges for role {_OWNER} in schema {schema}\n"
                f"grant {what} on tables to {role};"
            )
        for table, privileges in of.writes.items():
            if table in self.tables and self.tables[table].schema == schema:
                lines.append(f"grant {', '.join(privileges)} on {table} to {role};")
        if schema in of.creates_in:
            yield f"grant usage, create on schema {schema} to {role};"
        elif lines:
            yield f"grant usage on schema {schema} to {role};"
        yield from lines

    def _require_whole(self, role: str, schema: str) -> None:
        limit = rank(self.roles[role].models[schema])
        above = [
            f"{table.name}.{column} is {kind}"
            for table in self.tables.values()
            if table.schema == schema and not table.is_source
            for column, kind in table.columns.items()
            if rank(kind) > limit
        ]
        if above:
            raise CheckFailedError(
                f"{role} may read {schema} up to {self.roles[role].models[schema]}, but "
                f"{'; '.join(above)}.",
                "Take the column out of the model, or the schema from the role in roles.yml.",
            )

    # ------------------------------------------------------------------ BigQuery

    def bigquery(self) -> str:
        """Policy tags, how each is masked, and the class of each column, as JSON for Terraform."""
        content = {
            "policy_tags": {
                kind: {"description": CLASSES[kind], "masking": MASKING[kind] or None}
                for kind in CLASSES
                if kind != NONE
            },
            "columns": {
                table.name: {column: kind for column, kind in table.columns.items() if kind != NONE}
                for table in self.tables.values()
                if table.name not in set(self._outside) - set(IN_BIGQUERY_TOO)
                and any(kind != NONE for kind in table.columns.values())
            },
        }
        return json.dumps(content, indent=2) + "\n"

    # ------------------------------------------------------------------ checks

    def _unclassified(self) -> Iterator[str]:
        for name, column, kind in self._all_columns():
            if kind not in CLASSES:
                yield f"{name}.{column} has {'no class' if kind is None else f'the class {kind!r}'}"

    def _misplaced(self) -> Iterator[str]:
        for name, column, kind in self._all_columns():
            if kind == DIRECT and name.partition(".")[0] not in HOLDS_IDENTIFIERS:
                yield f"{name}.{column} is a direct identifier outside bronze"

    def _all_columns(self) -> Iterator[tuple[str, str, str | None]]:
        for table in _dbt_tables(self._manifest):
            for column, kind in table.columns.items():
                yield table.name, column, kind
        for name, columns in self._outside.items():
            for column, kind in columns.items():
                yield name, column, kind


def _dbt_tables(manifest: Mapping[str, Any]) -> Iterator[Table]:
    for part in ("sources", "nodes"):
        for node in manifest[part].values():
            if (
                node["resource_type"] in {"source", "seed", "model"}
                and node["package_name"] == PROJECT
            ):
                yield Table(
                    f"{node['schema']}.{node.get('alias') or node['name']}",
                    is_source=node["resource_type"] == "source",
                    columns={name: class_of(column) for name, column in node["columns"].items()},
                )


def class_of(column: Mapping[str, Any]) -> str:
    """The class of a column of the manifest; the text ``None`` never is one."""
    return column["config"]["meta"].get("privacy")  # type: ignore[no-any-return]


# ---------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------


def files(manifest: Mapping[str, Any]) -> dict[Path, str]:
    """What each generated file must hold."""
    privacy = Privacy(manifest, read_roles())
    return {GRANTS_FILE: privacy.grants(), BIGQUERY_FILE: privacy.bigquery()}


def stale(texts: Mapping[Path, str]) -> list[Path]:
    """The files that are not what the project says now."""
    return [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
