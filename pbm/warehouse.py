"""Connections to the PostgreSQL warehouse, its roles, and its migrations."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Final

import psycopg
from psycopg import conninfo, sql

from pbm.errors import ConfigurationError, ServiceError, UnreachableError

LOADER: Final = "pbm_loader"
TRANSFORMER: Final = "pbm_transformer"
REPORTER: Final = "pbm_reporter"
PRIVACY_OFFICER: Final = "pbm_privacy_officer"
DASHBOARD: Final = "pbm_dashboard"
"""A login that is a reporter and nothing else; the others are taken by ``set role``."""

OLDEST_SERVER = 160000
_MIGRATION_LOCK = 0x70626D  # "pbm": one migration at a time per database


def describe(dsn: str) -> str:
    """A connection string in words, without its password."""
    parts = _parse(dsn)
    host, port = parts.get("host", "localhost"), parts.get("port", "5432")
    return f"PostgreSQL at {host}:{port} (database {parts.get('dbname', 'postgres')})"


def as_login(dsn: str, login: str) -> str:
    """The same database by another login, which has no password."""
    parts = {name: value for name, value in _parse(dsn).items() if name != "password"}
    return conninfo.make_conninfo("", **{**parts, "user": login})


def _parse(dsn: str) -> dict[str, str]:
    try:
        return {name: str(value) for name, value in conninfo.conninfo_to_dict(dsn).items()}
    except psycopg.ProgrammingError:
        # the text is not repeated: it may hold a password
        raise ConfigurationError(
            "PBM_POSTGRES_DSN is not a PostgreSQL connection string.",
            "Use the form postgresql://user@host:port/database.",
        ) from None


def connect(
    dsn: str, *, role: str | None = None, autocommit: bool = False
) -> psycopg.Connection[tuple[object, ...]]:
    """Open a connection in UTC, acting as ``role`` where one is given.

    Raises:
        UnreachableError: The server does not answer or refuses the connection.
        ConfigurationError: The server is too old, or the role is missing.
    """
    where = describe(dsn)
    try:
        connection = psycopg.connect(
            dsn, connect_timeout=5, application_name="pbm", options="-c timezone=UTC"
        )
    except psycopg.OperationalError as error:
        raise UnreachableError(
            f"{where} does not answer: {_first_line(error)}.",
            "Start the local stack with `pbm up`, or correct PBM_POSTGRES_DSN.",
        ) from error
    if connection.info.server_version < OLDEST_SERVER:
        version = connection.info.parameter_status("server_version")
        connection.close()
        raise ConfigurationError(
            f"{where} is version {version}; the platform needs 16 or newer.",
            "Point PBM_POSTGRES_DSN at a newer server, or unset it to use the embedded one.",
        )
    if role is not None:
        try:
            connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        except psycopg.Error:
            connection.close()
            raise ConfigurationError(
                f"{where} has no role {role} that this user may take.",
                "Run `pbm up` once: it creates the roles and the bronze tables.",
            ) from None
        connection.commit()
    connection.autocommit = autocommit
    return connection


@contextmanager
def translated_errors(where: str) -> Iterator[None]:
    """Turn what PostgreSQL refuses or loses into errors that quote no row.

    Args:
        where: The server, as ``describe`` names it.

    Raises:
        UnreachableError: The connection was lost.
        ConfigurationError: A table or right is missing.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise UnreachableError(
            f"{where} was lost: {_first_line(error)}.",
            "See `pbm status`, start it with `pbm up`, and run the command again: what was "
            "committed is safe, and nothing else was acknowledged.",
        ) from None
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege) as error:
        raise ConfigurationError(
            f"{where}: {error.diag.message_primary}.", "Run `pbm up` once: it migrates the tables."
        ) from None
    except psycopg.Error as error:
        raise ServiceError(
            f"{where} refused: {error.diag.message_primary or type(error).__name__}.",
            "Nothing of this batch was committed or acknowledged. See the server's log.",
        ) from None


def _first_line(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines() or ["no reason given"]
    return lines[0].strip().rstrip(".")


def migrate(dsn: str) -> list[str]:
    """Bring roles, schemas, bronze tables and grants up to date, in one transaction.

    Returns:
        The names of the migrations that were applied now; empty when nothing was to do.

    Raises:
        ConfigurationError: A migration that was applied has been changed since, or the user may
            not create what is needed.
    """
    applied: list[str] = []
    with connect(dsn) as connection:
        try:
            connection.execute("select pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
            connection.execute("create schema if not exists pbm_ops")
            connection.execute(
                "create table if not exists pbm_ops.schema_migrations ("
                " name text primary key,"
                " sha256 text not null,"
                " applied_at timestamptz not null default clock_timestamp())"
            )
            cursor = connection.execute("select name, sha256 from pbm_ops.schema_migrations")
            done = {row[0]: row[1] for row in cursor}
            for name, script in _migrations():
                sha256 = hashlib.sha256(script.encode()).hexdigest()
                if name not in done:
                    connection.execute(sql.SQL(script))
                    connection.execute(
                        "insert into pbm_ops.schema_migrations (name, sha256) values (%s, %s)",
                        (name, sha256),
                    )
                    applied.append(name)
                elif done[name] != sha256:
                    raise ConfigurationError(
                        f"The migration {name} was changed after {describe(dsn)} applied it.",
                        "Put the file back as it was, and write the change as a new migration.",
                    )
            _grant(connection, again=bool(applied))
        except psycopg.errors.InsufficientPrivilege as error:
            raise ConfigurationError(
                f"{describe(dsn)}: this user may not set up the warehouse: {_first_line(error)}.",
                "Use a user that owns the database and has CREATEROLE.",
            ) from error
    return applied


def _grant(connection: psycopg.Connection[tuple[object, ...]], *, again: bool) -> None:
    """Apply the grants if they changed, or if there may be new tables for them."""
    script = (resources.files("pbm") / "grants.sql").read_text("utf-8")
    sha256 = hashlib.sha256(script.encode()).hexdigest()
    row = connection.execute(
        "select sha256 from pbm_ops.applied_grants order by applied_at desc limit 1"
    ).fetchone()
    if again or row is None or row[0] != sha256:
        connection.execute(sql.SQL(script))
        connection.execute(
            "insert into pbm_ops.applied_grants (sha256) values (%s) on conflict (sha256)"
            " do update set applied_at = clock_timestamp()",
            (sha256,),
        )


def _migrations() -> list[tuple[str, str]]:
    folder = resources.files("pbm") / "migrations"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name
    )
    return [(file.name.removesuffix(".sql"), file.read_text("utf-8")) for file in files]
