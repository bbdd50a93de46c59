"""Real services for the tests: one stack for the run, one database for each test that asks."""

import functools
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg import conninfo, sql
from xdist.scheduler import LoadScopeScheduling

from pbm import dbt_profile, warehouse

PROJECT_ROOT = Path(__file__).resolve().parent.parent
PBM = str(Path(sys.executable).parent / "pbm")
DBT = str(Path(sys.executable).parent / "dbt")


# How long a run that is told to end waits for its workers to stop their services, in seconds.
ENDING = 60
_workers: list[Any] = []


def pytest_configure() -> None:
    """A run that is told to end ends its services, as after Ctrl-C.

    A shell starts what it runs in the background without Ctrl-C; the commands that are tested here
    would inherit that.
    """
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    """Tell the workers, if this process has any, and end; a second signal changes nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _workers:
        for process in psutil.Process().children():
            process.terminate()
    raise KeyboardInterrupt


@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready(node: Any) -> None:
    """Remember a worker of pytest-xdist."""
    _workers.append(node)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(exitstatus: int) -> None:
    """Let interrupted workers stop their services: pytest-xdist itself would soon kill them."""
    if exitstatus == pytest.ExitCode.INTERRUPTED:
        for worker in _workers:
            worker.channel.waitclose(ENDING)


class ByModuleFixture(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Tests that share a module's fixture run in one worker, which builds it once.

    The marks of ``--dist loadgroup`` would say the same, but pytest 9.2 does not let pytest-xdist
    3.8 write them into the names of tests, and then groups nothing.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if _has_module_fixture(module) else nodeid


@functools.cache
def _has_module_fixture(module: str) -> bool:
    return 'scope="module"' in (PROJECT_ROOT / module).read_text()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModuleFixture:
    """Used for every ``--dist`` that asks for a scheduler."""
    return ByModuleFixture(config, log)


# What a developer's shell may have set for a stack of their own must not reach a test.
_OURS = (
    "PBM_",
    "DBT_",
    "AIRFLOW_",
    "PUBSUB_EMULATOR_HOST",
    "GOOGLE_CLOUD_PROJECT",
)


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment without any setting of the platform, and then ``variables``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, **variables}


def run_pbm(
    *arguments: str, env: Mapping[str, str], timeout: float = 300, cwd: Path = PROJECT_ROOT
) -> subprocess.CompletedProcess[str]:
    """Run the `pbm` command as a person would, in a process of its own."""
    return subprocess.run(
        [PBM, *arguments],
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
    )


@dataclass
class Platform:
    """A database with bronze, a project on the emulator, and an environment for both."""

    home: Path
    dsn: str
    env: dict[str, str]

    def pbm(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run `pbm` here and fail the test if it fails."""
        result = run_pbm(*arguments, env=self.env, timeout=timeout)
        assert result.returncode == 0, f"pbm {arguments}: {result.stdout}\n{result.stderr}"
        return result

    def ingest(self, source: str | Path) -> dict[str, Any]:
        """Ingest a file, or ``pubsub``, and return the summary."""
        summary = json.loads(self.pbm("ingest", "--from", str(source), "--json").stdout)
        assert isinstance(summary, dict)
        return summary

    def dbt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run dbt here and fail the test if it fails."""
        result = subprocess.run(
            [DBT, *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            cwd=PROJECT_ROOT,
        )
        assert result.returncode == 0, f"dbt {arguments}: {result.stdout}\n{result.stderr}"
        return result

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with psycopg.connect(self.dsn, options="-c timezone=UTC") as connection:
            return connection.execute(query.encode(), parameters or None).fetchall()

    def value(self, query: str, *parameters: object) -> Any:
        """The one value of a query."""
        return self.rows(query, *parameters)[0][0]

    def execute(self, statement: str) -> None:
        """Run a statement."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A running stack in a temporary home: what ``pbm status --json`` says of it."""
    home = tmp_path_factory.mktemp("stack")
    env = clean_environment(PBM_HOME=str(home))
    try:
        result = run_pbm("up", "--json", env=env)
        assert result.returncode == 0, result.stderr
        yield json.loads(result.stdout)
    finally:
        run_pbm("down", env=env)


_numbers = itertools.count(1)


@pytest.fixture
def platform(services: dict[str, Any], tmp_path: Path) -> Platform:
    """An empty platform of the test's own: database, topic, subscription, dbt folders."""
    return new_platform(services, tmp_path)


def new_platform(services: dict[str, Any], folder: Path) -> Platform:
    """An empty platform on the running services, with its state in ``folder``."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(services["postgres_dsn"], autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    dsn = conninfo.make_conninfo(services["postgres_dsn"], dbname=name)
    warehouse.migrate(dsn)
    home = folder / "home"
    home.mkdir()
    dbt_profile.write(home, dsn)
    env = clean_environment(
        PBM_HOME=str(home),
        PBM_POSTGRES_DSN=dsn,
        PBM_PSEUDONYM_KEY="a test's own key, of 32 bytes or more",
        PUBSUB_EMULATOR_HOST=services["pubsub_emulator_host"],
        GOOGLE_CLOUD_PROJECT=name.replace("_", "-"),
        DBT_PROFILES_DIR=str(home),
        DBT_TARGET_PATH=str(folder / "target"),
        DBT_LOG_PATH=str(folder / "logs"),
    )
    return Platform(home=home, dsn=dsn, env=env)
