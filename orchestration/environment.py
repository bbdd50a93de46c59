"""What Airflow needs of a local stack: folders, a database, connections, a dbt manifest.

``pbm env`` finds ``variables`` through the entry point group ``pbm.environment``.
"""

import hashlib
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import psycopg
from psycopg import conninfo, sql

from orchestration import dbt_project
from pbm import console, dbt_profile, warehouse
from pbm.errors import CheckFailedError, ConfigurationError
from pbm.processes import exclusive
from pbm.running import program
from pbm.settings import PROJECT_ROOT
from pbm.stack import Stack

DAGS_FOLDER: Final = PROJECT_ROOT / "orchestration" / "dags"


def variables(stack: Stack) -> dict[str, str]:
    """The variables that point Airflow at a stack, with all that they name made ready.

    The first call takes some ten seconds: Airflow makes its tables, and dbt reads the project.
    Later ones look whether anything has changed.

    Raises:
        ServiceError: PostgreSQL does not run or answer.
        ConfigurationError: The database of Airflow cannot be made.
        CheckFailedError: Airflow or dbt refuses.
    """
    home = stack.home / "airflow"
    home.mkdir(parents=True, exist_ok=True)
    project = home / "dbt"
    dsn = stack.require_postgres_dsn()
    environment = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS_FOLDER),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": _database_url(stack, dsn),
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
        "AIRFLOW__COSMOS__CACHE_DIR": str(home / "cosmos"),
        "AIRFLOW_CONN_PBM_WAREHOUSE": _connection(dsn),
        "PBM_DBT_PROJECT_DIR": str(project),
    }
    profiles = dbt_profile.folder_in_force(stack.settings)
    with exclusive(home / ".lock"), ThreadPoolExecutor(2) as both:
        waiting = [
            both.submit(_migrate, home, dsn, environment),
            both.submit(
                dbt_project.prepare, PROJECT_ROOT, project, profiles, stack.settings.dbt_target
            ),
        ]
        for one in waiting:
            one.result()
    return environment


def _database_url(stack: Stack, dsn: str) -> str:
    """Airflow's own database on the stack's server, unless the environment names another."""
    given = stack.settings.airflow_database
    if given is not None:
        return given.get_secret_value()
    parts = conninfo.conninfo_to_dict(dsn)
    return _url("postgresql+psycopg2", {**parts, "dbname": _database_name(dsn)})


def _database_name(dsn: str) -> str:
    parts = conninfo.conninfo_to_dict(dsn)
    return f"{parts.get('dbname') or parts.get('user')}_airflow"


def _connection(dsn: str) -> str:
    """The warehouse as an Airflow connection, which may read what dbt may read."""
    return _url(
        "postgres",
        conninfo.conninfo_to_dict(dsn),
        options=f"-c role={warehouse.TRANSFORMER} -c timezone=UTC",
    )


def _url(scheme: str, parts: "dict[str, str | int | None]", **parameters: str) -> str:
    if parts.get("sslmode"):
        parameters["sslmode"] = str(parts["sslmode"])
    password = f":{quote(str(parts['password']), safe='')}" if parts.get("password") else ""
    user = quote(str(parts.get("user") or ""), safe="")
    where = f"{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}"
    query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
    return f"{scheme}://{user}{password}@{where}/{quote(str(parts['dbname']))}{query}"


def _migrate(home: Path, dsn: str, environment: dict[str, str]) -> None:
    """Let Airflow make or update its tables, unless this version has done so."""
    url = environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    wanted = {
        "airflow": version("apache-airflow"),
        "database": hashlib.sha256(url.encode()).hexdigest(),
    }
    stamp = home / "database.json"
    created = url == _ours(dsn) and _create_database(dsn)
    if not created and stamp.exists() and json.loads(stamp.read_text()) == wanted:
        return
    console.say("Preparing Airflow: its tables, and the dbt project. Once only, some ten seconds.")
    done = subprocess.run(
        [program("airflow"), "db", "migrate"],
        env={**os.environ, **environment},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CheckFailedError(
            f"Airflow cannot make its tables: {_last_line(done.stderr or done.stdout)}",
            "See `airflow db migrate` for all of it.",
        )
    stamp.write_text(json.dumps(wanted, indent=2) + "\n")


def _ours(dsn: str) -> str:
    parts = conninfo.conninfo_to_dict(dsn)
    return _url("postgresql+psycopg2", {**parts, "dbname": _database_name(dsn)})


def _create_database(dsn: str) -> bool:
    """Create Airflow's database if it is not there; return whether it was not."""
    name = _database_name(dsn)
    with warehouse.connect(dsn, autocommit=True) as connection:
        found = connection.execute("select 1 from pg_database where datname = %s", (name,))
        if found.fetchone():
            return False
        try:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        except psycopg.errors.DuplicateDatabase:
            return False
        except psycopg.errors.InsufficientPrivilege:
            raise ConfigurationError(
                f"{warehouse.describe(dsn)}: this user may not create the database {name}, which "
                "Airflow keeps its state in.",
                "Create it, or name another with PBM_AIRFLOW_DATABASE.",
            ) from None
    return True


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given."
