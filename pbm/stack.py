"""The local stack: its services, its state, and what the environment overrides of both.

A setting that is already in the environment wins: with ``PBM_POSTGRES_DSN`` or
``PUBSUB_EMULATOR_HOST`` set, the stack uses that server and starts none of its own. A shell that
ran ``eval "$(pbm env)"`` has both set to the stack's own servers, which are recognised as such.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass

from psycopg import conninfo

from pbm import dbt_profile, pubsub, warehouse
from pbm.errors import ConfigurationError, ServiceError
from pbm.postgres import EmbeddedPostgres
from pbm.postgres import dsn as embedded_dsn
from pbm.processes import exclusive
from pbm.pubsub import EmulatorProcess
from pbm.settings import Settings


@dataclass(frozen=True)
class ServiceStatus:
    """One service of the stack, as it is now."""

    name: str
    running: bool
    managed: bool  # started by this stack, rather than given by the environment
    where: str | None


@dataclass(frozen=True)
class StackStatus:
    """The whole stack, as it is now."""

    state_dir: str
    postgres_dsn: str | None
    pubsub_emulator_host: str | None
    google_cloud_project: str
    orders_topic: str
    orders_subscription: str
    services: list[ServiceStatus]

    @property
    def running(self) -> bool:
        """Whether every service runs."""
        return all(service.running for service in self.services)

    def as_dict(self) -> dict[str, object]:
        """The status as plain data, for JSON."""
        return {**asdict(self), "running": self.running}


@dataclass
class _State:
    """What is remembered in ``services.json``: ports, so that they stay, and the process."""

    postgres_port: int | None = None
    emulator: EmulatorProcess | None = None


class Stack:
    """The local services with their state under ``settings.home``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = settings.home
        self._postgres = EmbeddedPostgres(self.home)
        self._state_file = self.home / "services.json"

    # ---------------------------------------------------------------- what is where

    def postgres_dsn(self) -> str | None:
        """Connection string of the warehouse; None while none is known."""
        given = self._given_dsn()
        if given is not None:
            return given
        port = self._postgres.port()
        return None if port is None else embedded_dsn(port)

    def require_postgres_dsn(self) -> str:
        """Connection string of the warehouse.

        Raises:
            ServiceError: No server is given and the embedded one does not run.
        """
        dsn = self.postgres_dsn()
        if dsn is None:
            raise ServiceError(
                f"The local stack in {self.home} is not running: there is no PostgreSQL.",
                "Start it with `pbm up`, or set PBM_POSTGRES_DSN.",
            )
        return dsn

    def dashboard_dsn(self) -> str:
        """Connection string of the login that may only read gold and serving.

        Raises:
            ServiceError: No server is given and the embedded one does not run.
        """
        given = self.settings.dashboard_dsn
        if given is not None:
            return given.get_secret_value()
        return warehouse.as_login(self.require_postgres_dsn(), warehouse.DASHBOARD)

    def pubsub_emulator_host(self) -> str | None:
        """``host:port`` of the emulator; None while none is known."""
        given = self._given_emulator_host()
        if given is not None:
            return given
        emulator = self._state().emulator
        return emulator.host if emulator is not None and emulator.is_running() else None

    def require_pubsub_emulator_host(self) -> str:
        """``host:port`` of an emulator that answers.

        Raises:
            ServiceError: None is known, or it does not answer.
        """
        host = self.pubsub_emulator_host()
        if host is None:
            raise ServiceError(
                f"The local stack in {self.home} has no running Pub/Sub emulator.",
                "Start it with `pbm up`, set PUBSUB_EMULATOR_HOST, or ingest from a file.",
            )
        if not pubsub.emulator_answers(host):
            raise ServiceError(
                f"The Pub/Sub emulator at {host} does not answer.",
                "Start it again with `pbm down` and `pbm up`, or correct PUBSUB_EMULATOR_HOST.",
            )
        return host

    def status(self) -> StackStatus:
        """Look at every service now; start nothing."""
        dsn = self.postgres_dsn()
        host = self.pubsub_emulator_host()
        settings = self.settings
        services = [
            ServiceStatus(
                "postgres",
                running=dsn is not None and _accepts_connections(dsn),
                managed=self._given_dsn() is None,
                where=dsn and warehouse.describe(dsn),
            ),
            ServiceStatus(
                "pubsub",
                running=host is not None and pubsub.emulator_answers(host),
                managed=self._given_emulator_host() is None,
                where=host,
            ),
        ]
        return StackStatus(
            state_dir=str(self.home),
            postgres_dsn=dsn,
            pubsub_emulator_host=host,
            google_cloud_project=settings.google_cloud_project,
            orders_topic=settings.orders_topic,
            orders_subscription=settings.orders_subscription,
            services=services,
        )

    def environment(self) -> dict[str, str]:
        """The variables that point any tool at this stack.

        Raises:
            ServiceError: A service is neither running nor given.
        """
        variables = {
            "PBM_HOME": str(self.home),
            "PBM_POSTGRES_DSN": self.require_postgres_dsn(),
        }
        variables["PBM_DASHBOARD_DSN"] = self.dashboard_dsn()
        host = self.pubsub_emulator_host()
        if host is not None:  # absent where no emulator is installed: files still work
            variables["PUBSUB_EMULATOR_HOST"] = host
        variables["GOOGLE_CLOUD_PROJECT"] = self.settings.google_cloud_project
        variables["DBT_PROFILES_DIR"] = str(self.home)
        return variables

    # ---------------------------------------------------------------- start and stop

    def up(self) -> StackStatus:
        """Start what is not running, migrate the warehouse, and write the dbt profile.

        Safe to call again at any time.

        Raises:
            ServiceError: A service does not start or a given one does not answer.
            ConfigurationError: A setting or a ``profiles.yml`` does not fit.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"PBM_HOME, {self.home}, cannot be created: {error.strerror}.",
                "Set PBM_HOME to a folder that you may write.",
            ) from error
        with exclusive(self.home / ".lock"):
            dsn = self._up_postgres()
            warehouse.migrate(dsn)
            self._up_pubsub()
            self.pseudonym_key()
            dbt_profile.write(self.home, dsn)
            if self.settings.is_default_home:
                dbt_profile.write_for_plain_dbt(dsn)
        return self.status()

    def down(self) -> list[str]:
        """Stop the services that this stack started; data on disk stay.

        Returns:
            The names of the services that were running.
        """
        if not self.home.exists():
            return []
        stopped = []
        with exclusive(self.home / ".lock"):
            state = self._state()
            if state.emulator is not None and state.emulator.is_running():
                state.emulator.stop()
                stopped.append("pubsub")
            if self._postgres.port() is not None:
                self._postgres.stop()
                stopped.append("postgres")
        return stopped

    def is_up(self) -> bool:
        """Whether PostgreSQL runs, and the emulator does wherever there is one to run."""
        if self.postgres_dsn() is None:
            return False
        wanted = pubsub.find_emulator(self.settings) is not None
        return not wanted or self.pubsub_emulator_host() is not None

    def _up_postgres(self) -> str:
        given = self._given_dsn()
        if given is not None:
            return given
        state = self._state()
        port = self._postgres.start(
            state.postgres_port, port_is_fixed=self.settings.postgres_dsn is not None
        )
        if port != state.postgres_port:
            state.postgres_port = port
            self._remember(state)
        return embedded_dsn(port)

    def _up_pubsub(self) -> None:
        host = self._given_emulator_host()
        if host is None:
            state = self._state()
            emulator = state.emulator
            if emulator is not None and emulator.is_running():
                if not pubsub.emulator_answers(emulator.host):
                    raise ServiceError(
                        f"The Pub/Sub emulator at {emulator.host} runs but does not answer.",
                        "Stop it with `pbm down`, then start it with `pbm up`.",
                    )
            else:
                command = pubsub.find_emulator(self.settings)
                if command is None:
                    return
                emulator = pubsub.start_emulator(
                    command,
                    self.home,
                    None if emulator is None else emulator.port,
                    port_is_fixed=self.settings.pubsub_emulator_host is not None,
                )
                state.emulator = emulator
                self._remember(state)
            host = emulator.host
        pubsub.ensure_topic_and_subscription(host, self.settings)

    # ---------------------------------------------------------------- key

    def pseudonym_key(self) -> str:
        """The key of the patient pseudonyms: the environment's, or the newest generated file's.

        Raises:
            ConfigurationError: The file cannot be read or written.
        """
        if self.settings.pseudonym_key is not None:
            return self.settings.pseudonym_key.get_secret_value()
        return self.generated_key(self._pseudonym_key_file(self.pseudonym_key_version()))

    def pseudonym_key_version(self) -> int:
        """The version of that key."""
        version = self.settings.pseudonym_key_version
        if self.settings.pseudonym_key is None:
            version = max([version, *self._generated_versions()])
        return version

    def kept_pseudonym_keys(self) -> dict[int, str]:
        """Every key that is still there, by version: those of generated files, and the current."""
        keys = {
            version: self.generated_key(self._pseudonym_key_file(version))
            for version in self._generated_versions()
        }
        return {**keys, self.pseudonym_key_version(): self.pseudonym_key()}

    def add_pseudonym_key(self) -> int:
        """Generate the key of the next version; return the version."""
        version = self.pseudonym_key_version() + 1
        self.generated_key(self._pseudonym_key_file(version))
        return version

    def forget_pseudonym_keys(self, before: int) -> None:
        """Remove the generated keys of the versions before one."""
        for version in self._generated_versions():
            if version < before:
                self.home.joinpath(self._pseudonym_key_file(version)).unlink()

    def suppression_key(self) -> str:
        """The key of the list of erased patients: the environment's, or a generated file's.

        Raises:
            ConfigurationError: The file cannot be read or written.
        """
        if self.settings.suppression_key is not None:
            return self.settings.suppression_key.get_secret_value()
        return self.generated_key("suppression.key")

    def _pseudonym_key_file(self, version: int) -> str:
        """The file of a key; the first one had no version in its name."""
        first = self.settings.pseudonym_key_version
        return "pseudonym.key" if version == first else f"pseudonym-{version}.key"

    def _generated_versions(self) -> list[int]:
        versions = [
            int(path.stem.removeprefix("pseudonym-"))
            for path in self.home.glob("pseudonym-*.key")
            if path.stem.removeprefix("pseudonym-").isdecimal()
        ]
        if self.home.joinpath("pseudonym.key").exists():
            versions.append(self.settings.pseudonym_key_version)
        return sorted(versions)

    def generated_key(self, name: str) -> str:
        """A key in a file of the stack, made when it is first asked for.

        Args:
            name: The file's name.

        Raises:
            ConfigurationError: The file cannot be read or written.
        """
        path = self.home / name
        try:
            if not path.exists():
                self.home.mkdir(parents=True, exist_ok=True)
                draft = path.with_suffix(f".{os.getpid()}")
                descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w") as file:
                    file.write(secrets.token_urlsafe(48))
                try:
                    os.link(draft, path)  # never replaces a key that another process just made
                except FileExistsError:
                    pass
                finally:
                    draft.unlink()
            return path.read_text().strip()
        except OSError as error:
            raise ConfigurationError(
                f"The key {path} cannot be used: {error.strerror}.",
                "Correct its permissions, or set PBM_PSEUDONYM_KEY and PBM_SUPPRESSION_KEY (32 "
                "bytes of text at least).",
            ) from error

    # ---------------------------------------------------------------- state

    def _given_dsn(self) -> str | None:
        """The environment's PostgreSQL, unless it is our own by way of ``pbm env``."""
        secret = self.settings.postgres_dsn
        if secret is None:
            return None
        given = secret.get_secret_value()
        port = self._postgres.port() or self._state().postgres_port
        return None if port is not None and _same_server(given, embedded_dsn(port)) else given

    def _given_emulator_host(self) -> str | None:
        given = self.settings.pubsub_emulator_host
        if given is None:
            return None
        emulator = self._state().emulator
        own = emulator is not None and given in {
            emulator.host,
            f"localhost:{emulator.port}",
        }
        return None if own else given

    def _state(self) -> _State:
        try:
            raw = json.loads(self._state_file.read_text())
            emulator = raw.get("emulator")
            return _State(
                raw.get("postgres_port"), None if emulator is None else EmulatorProcess(**emulator)
            )
        except FileNotFoundError:
            return _State()
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{self._state_file} is damaged.",
                "End the stack's processes, remove the file, and run `pbm up`.",
            ) from error

    def _remember(self, state: _State) -> None:
        draft = self._state_file.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(state), indent=2))
        draft.replace(self._state_file)


def _accepts_connections(dsn: str) -> bool:
    try:
        warehouse.connect(dsn).close()
    except (ServiceError, ConfigurationError):
        return False
    return True


def _same_server(one: str, other: str) -> bool:
    try:
        first, second = (conninfo.conninfo_to_dict(dsn) for dsn in (one, other))
    except Exception:  # noqa: BLE001  an unreadable string is reported where it is used
        return False
    hosts = {"localhost": "127.0.0.1"}
    return all(
        hosts.get(str(first.get(part)), str(first.get(part))) == str(second.get(part))
        for part in ("host", "port", "dbname")
    )
