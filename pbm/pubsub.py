"""Google's Pub/Sub emulator as a local service, and the resources that the platform needs in it.

The emulator keeps its messages in memory only: what was not ingested when it stops is gone.
"""

import http.client
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pbm.errors import ConfigurationError, ServiceError
from pbm.processes import (
    LOCALHOST,
    START_ATTEMPTS,
    free_port,
    kill_process,
    listens,
    port_is_free,
    process_is,
    wait_until,
)
from pbm.settings import Settings

# While messages are out, the emulator copies the ids of its whole backlog for every pull of 100:
# garbage that the default collector takes twice as long to make and to clear.
_JAVA_OPTIONS = ("-XX:+UseParallelGC",)

# What an ingester has pulled comes back after this long if it was killed before its commit.
ACK_DEADLINE_SECONDS = 15


@dataclass(frozen=True)
class EmulatorProcess:
    """A running emulator: where it listens, and which process it is."""

    port: int
    pid: int
    started_at: float

    @property
    def host(self) -> str:
        """``host:port``, the form of ``PUBSUB_EMULATOR_HOST``."""
        return f"{LOCALHOST}:{self.port}"

    def is_running(self) -> bool:
        """Whether the process is alive; one that stalls still is."""
        return process_is(self.pid, self.started_at)

    def stop(self) -> None:
        """End the process: at once, since it keeps nothing that it could save."""
        kill_process(self.pid, self.started_at)


def find_emulator(settings: Settings) -> list[str] | None:
    """The command that runs Google's emulator here, None where it is not installed.

    Looks for ``PBM_PUBSUB_EMULATOR_JAR``, then for the emulator of the Google Cloud CLI.
    """
    java = shutil.which("java")
    jar = settings.pubsub_emulator_jar
    if jar is not None:
        if not jar.is_file():
            raise ConfigurationError(
                f"PBM_PUBSUB_EMULATOR_JAR names {jar}, which is no file.",
                "Correct it, or unset it to use the emulator of the Google Cloud CLI.",
            )
        if java is None:
            raise ConfigurationError(
                "PBM_PUBSUB_EMULATOR_JAR is set, but there is no `java` on the PATH.",
                "Install a Java runtime, version 11 or newer.",
            )
    elif java is not None:
        jar = _jar_of_cloud_cli()
    if jar is None or java is None:
        return None
    return [java, *_JAVA_OPTIONS, "-jar", str(jar)]


def _jar_of_cloud_cli() -> Path | None:
    gcloud = shutil.which("gcloud")
    roots = [Path(gcloud).resolve().parent.parent] if gcloud else []
    roots += [Path("/usr/lib/google-cloud-sdk"), Path.home() / "google-cloud-sdk"]
    for root in roots:
        jars = sorted(root.glob("platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"))
        if jars:
            return jars[-1]
    return None


def start_emulator(
    command: list[str], home: Path, port: int | None, *, port_is_fixed: bool
) -> EmulatorProcess:
    """Start the emulator and wait until it answers.

    Args:
        command: What ``find_emulator`` found.
        home: State folder of the stack; the emulator's log goes there.
        port: The port to take; None for any free one.
        port_is_fixed: Whether another port will not do.

    Raises:
        ServiceError: The port is in use, or the emulator does not start.
    """
    if port is not None and not port_is_free(port):
        if port_is_fixed:
            raise ServiceError(
                f"Port {port}, which PUBSUB_EMULATOR_HOST names, is in use by another program.",
                "End that program, or `unset PUBSUB_EMULATOR_HOST` to let the stack choose a port.",
            )
        port = None
    log = home / "pubsub" / "emulator.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(START_ATTEMPTS):
        emulator = _start(command, port or free_port(), log)
        if emulator is not None:
            return emulator
        if port_is_fixed or not _lost_its_port(log):
            break
        port = None
    raise ServiceError("Google's Pub/Sub emulator did not start.", f"See {log}.")


def _start(command: list[str], port: int, log: Path) -> EmulatorProcess | None:
    """Start the emulator; None if it does not come to answer."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, f"--host={LOCALHOST}", f"--port={port}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if name != "PBM_PSEUDONYM_KEY"},
            start_new_session=True,
        )
    emulator = EmulatorProcess(port, process.pid, psutil.Process(process.pid).create_time())

    def has_ended() -> bool:
        # without its port it lives on, and serves nobody
        return process.poll() is not None or _lost_its_port(log)

    def is_ready() -> bool:  # another stack's emulator may answer there too
        return emulator_answers(emulator.host) and listens(process.pid, port)

    ready = False
    try:
        wait_until(lambda: has_ended() or is_ready(), seconds=60)
        ready = not has_ended() and is_ready()
    finally:
        if not ready:  # after Ctrl-C too: nobody would know of it
            emulator.stop()
    return emulator if ready else None


def _lost_its_port(log: Path) -> bool:
    """Whether somebody else had taken the port when the emulator asked for it."""
    return "java.net.BindException" in log.read_text(errors="replace")


def emulator_answers(host: str) -> bool:
    """Whether a Pub/Sub emulator answers at ``host`` (``host:port``) within two seconds."""
    try:
        _call(host, "GET", "projects/pbm-probe/topics", seconds=2)
    except (OSError, ValueError):
        return False
    return True


def ensure_topic_and_subscription(host: str, settings: Settings) -> None:
    """Create the orders topic and its subscription where they are missing.

    Raises:
        ServiceError: The emulator does not answer or refuses.
    """
    subscription = {
        "topic": settings.topic_path,
        "ackDeadlineSeconds": ACK_DEADLINE_SECONDS,
    }
    try:
        _create(host, settings.topic_path, {})
        _create(host, settings.subscription_path, subscription)
    except (OSError, ValueError) as error:
        raise ServiceError(
            f"The Pub/Sub emulator at {host} does not answer: {error}.",
            "Start the local stack with `pbm up`, or correct PUBSUB_EMULATOR_HOST.",
        ) from error


def _create(host: str, resource: str, body: dict[str, Any]) -> None:
    try:
        _call(host, "PUT", resource, body)
    except urllib.error.HTTPError as error:
        if error.code != 409:  # it exists already
            raise


def _call(
    host: str,
    method: str,
    resource: str,
    body: dict[str, Any] | None = None,
    *,
    seconds: float = 10,
) -> Any:  # noqa: ANN401  the emulator's JSON
    request = urllib.request.Request(
        f"http://{host}/v1/{resource}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    # the emulator is never behind a proxy
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=seconds) as response:
            return json.loads(response.read())
    except http.client.HTTPException as error:  # something listens there, and it is no emulator
        raise ConnectionError(f"it does not speak HTTP ({type(error).__name__})") from error
