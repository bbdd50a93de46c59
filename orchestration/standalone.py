"""`airflow standalone` on the local stack: everything that it starts ends with it."""

import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from orchestration.environment import variables
from pbm import console
from pbm.processes import free_port
from pbm.running import program, running_stack
from pbm.settings import Settings

_USER = "admin"
_UNTIL_READY = 600
_UNTIL_ENDED = 30


def run(settings: Settings, port: int) -> int:
    """Run Airflow until it is told to end; return its exit code.

    Args:
        settings: Where the stack is.
        port: Port of the pages and of the REST API; a free one if 0.
    """
    with running_stack(settings) as stack:
        port = port or free_port()
        address = f"http://127.0.0.1:{port}"
        environment = {
            **os.environ,
            **stack.environment(),
            **variables(stack),
            # Airflow starts its parts by the name `airflow`
            "PATH": os.pathsep.join([str(Path(program("airflow")).parent), os.environ["PATH"]]),
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__BASE_URL": address,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{_USER}:admin",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "PBM_AIRFLOW_DEADLINES": "true",
            # a task on a small machine is a process of a core: more at once only wait
            "AIRFLOW__CORE__PARALLELISM": str(max(2, os.cpu_count() or 2)),
        }
        return _run(environment, address)


def _run(environment: dict[str, str], address: str) -> int:
    home = Path(environment["AIRFLOW_HOME"])
    log = (home / "standalone.log").open("w")
    console.say(f"Starting Airflow; its own words are in {log.name}. Ctrl-C ends it.")
    process = subprocess.Popen(
        [program("airflow"), "standalone"],
        env=environment,
        cwd=home,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    told = threading.Thread(target=_tell_when_ready, args=(process, address, home), daemon=True)
    told.start()
    try:
        return process.wait()
    except KeyboardInterrupt:
        console.say("Ending Airflow …")
        return 130
    finally:
        _end(process)
        log.close()


def _tell_when_ready(process: "subprocess.Popen[bytes]", address: str, home: Path) -> None:
    until = time.monotonic() + _UNTIL_READY
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{address}/api/v2/monitor/health", timeout=5) as answer:  # noqa: S310
                health = json.load(answer)
        except (urllib.error.URLError, OSError, ValueError):
            health = {}
        parts: Sequence[str] = ("metadatabase", "scheduler", "dag_processor")
        if all(health.get(part, {}).get("status") == "healthy" for part in parts):
            console.say(f"Airflow is at {address}")
            console.say(f"Log in as {_USER} with the password {_password(home)}")
            console.say("The pipelines are paused: switch on, or trigger, what you want to run.")
            return
        time.sleep(1)


def _password(home: Path) -> str:
    path = home / "simple_auth_manager_passwords.json.generated"
    passwords = json.loads(path.read_text())
    return str(passwords[_USER])


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End Airflow and all that it has started, tasks included."""
    try:
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    for one in family:
        # not SIGINT: a shell's background jobs ignore it, and so would what they start
        with suppress(psutil.NoSuchProcess):
            one.terminate()
    _, alive = psutil.wait_procs(family, timeout=_UNTIL_ENDED)
    for one in alive:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(alive, timeout=5)
