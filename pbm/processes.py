"""Small helpers around processes, ports and locks of the local stack."""

import fcntl
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from pbm.errors import ServiceError

LOCALHOST = "127.0.0.1"

# Below the ports that systems hand out by themselves, to whoever connects or asks for any port
# (Linux from 32768, macOS from 49152): between here and the server's start, nobody is given it.
_SERVER_PORTS = range(20_000, 30_000)

# How often a server is started, on another port each time, where somebody took its port first.
START_ATTEMPTS = 3


def free_port() -> int:
    """A TCP port for a server, free on the loopback address right now.

    Raises:
        ServiceError: A hundred ports at random are all taken.
    """
    # not the shared generator: tests seed it, and would all be given the same ports
    for port in random.SystemRandom().sample(_SERVER_PORTS, 100):
        if port_is_free(port):
            return port
    raise ServiceError(
        f"No port between {_SERVER_PORTS.start} and {_SERVER_PORTS.stop - 1} is free.",
        "End some of the programs that listen there (`ss -ltn` names them).",
    )


def port_is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` of the loopback address right now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, port))
        except OSError:
            return False
    return True


def listens(pid: int, port: int) -> bool:
    """Whether it is the process ``pid`` that listens on ``port``."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:  # it has ended
        return False
    return any(
        connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        for connection in connections
    )


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Poll ``condition`` every 50 ms for at most ``seconds``; tell whether it came true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def process_is(pid: int, started_at: float) -> bool:
    """Whether the process ``pid`` is alive and is the one started at ``started_at`` (epoch s).

    A process id is used again by the system, its start time is not.
    """
    try:
        process = psutil.Process(pid)
        return (
            abs(process.create_time() - started_at) < 2 and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False


def kill_process(pid: int, started_at: float) -> None:
    """Kill a process and its children, and wait until they are gone."""
    if not process_is(pid, started_at):
        return
    parent = psutil.Process(pid)
    family = [*parent.children(recursive=True), parent]
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=10)


@contextmanager
def exclusive(lock_file: Path, *, seconds: float = 60) -> Iterator[None]:
    """Hold a lock between processes, so that two commands do not start one service twice.

    Raises:
        ServiceError: Another command still holds it after ``seconds``.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("w") as handle:

        def acquired() -> bool:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not wait_until(acquired, seconds=seconds):
            raise ServiceError(
                f"Another `pbm` command has been changing the stack in {lock_file.parent} for "
                f"{seconds:.0f} s.",
                "Wait for it to end, or end it, and try again.",
            )
        handle.write(str(os.getpid()))
        handle.flush()
        yield
