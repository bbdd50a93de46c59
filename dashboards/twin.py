"""The whole platform in one terminal: several programs, of which none outlives the others."""

import os
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from pbm import console
from pbm.errors import ServiceError
from pbm.processes import LOCALHOST, wait_until
from pbm.running import dbt_command, program
from pbm.settings import PROJECT_ROOT
from pbm.stack import Stack

APP: Final = PROJECT_ROOT / "dashboards" / "streamlit_app.py"
_GRACE: Final = 20
_COLOURS: Final = ("cyan", "magenta", "yellow", "green", "blue")


def dashboard_command(port: int) -> list[str]:
    """How the dashboards are started, to listen on this machine only."""
    return [
        *(program("streamlit"), "run", str(APP)),
        *("--server.port", str(port), "--server.address", LOCALHOST),
    ]


def generator_command(orders_per_day: int, days: int, seed: int) -> list[str]:
    """The order simulator in real time: what has happened comes at once, the rest as it does."""
    start = datetime.now(UTC).date() - timedelta(days=days)
    # to the end of the day after tomorrow: nobody watches longer without a pause
    window = days + 3
    return [
        *(program("pbm"), "generate", "orders", "--to", "pubsub", "--real-time"),
        *("--orders", str(orders_per_day * window), "--seed", str(seed)),
        *("--start", start.isoformat(), "--days", str(window)),
        *("--duplicates", "0.02", "--malformed", "0.002"),
    ]


def ingester_command() -> list[str]:
    """Ingestion that goes on until it is told to end."""
    return [program("pbm"), "ingest", "--from", "pubsub", "--follow"]


@dataclass
class Programs:
    """Programs that run side by side; what they print comes out with their names before it.

    Args:
        env: The environment of all of them.
        say: Where their lines go.
    """

    env: Mapping[str, str]
    say: Callable[[str], None] = console.say
    _running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a program and pass on what it prints."""
        process = subprocess.Popen(
            list(command),
            env=dict(self.env),
            cwd=PROJECT_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            # Ctrl-C in the terminal reaches this process alone, which ends the others in order
            start_new_session=True,
        )
        colour = _COLOURS[len(self._running) % len(_COLOURS)]
        self._running[name] = process
        threading.Thread(target=self._pass_on, args=(name, colour, process), daemon=True).start()

    def _pass_on(self, name: str, colour: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if line.strip():
                    text = line.rstrip().replace("[", "\\[")
                    self.say(f"[{colour}]{name:>10}[/] {text}")

    def ended(self) -> tuple[str, int] | None:
        """A program that has ended by itself, and its exit code; None while all run."""
        for name, process in self._running.items():
            code = process.poll()
            if code is not None:
                return name, code
        return None

    def stop(self, name: str) -> None:
        """End one program, as Ctrl-C would, and wait for it; kill it if it does not."""
        process = self._running.pop(name)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def stop_all(self) -> None:
        """End all of them, the last one first."""
        for name in reversed(list(self._running)):
            self.stop(name)


def wait_until_it_answers(port: int, running: Programs | None = None) -> None:
    """Wait for the dashboards to answer.

    Raises:
        ServiceError: They do not, within a minute.
    """

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://{LOCALHOST}:{port}/_stcore/health", timeout=2):
                return True
        except OSError:
            return running is not None and running.ended() is not None

    if not wait_until(answers, seconds=60) or (running is not None and running.ended()):
        raise ServiceError("The dashboards did not start.", "See what they said above.")


@contextmanager
def programs(stack: Stack) -> Iterator[Programs]:
    """Programs against a stack, all of which have ended when the block has."""
    # Rich would colour for a terminal that these do not have
    env = {**os.environ, **stack.environment(), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    # settings that a test or a person gave by other means than the environment
    env["PBM_HOME"] = str(stack.home)
    running = Programs(env)
    try:
        yield running
    finally:
        running.stop_all()


def build(stack: Stack, running: Programs, *options: str) -> bool:
    """Build once and wait for it, with options of dbt's; whether everything passed."""
    command, environment = dbt_command(stack, ["build", "--quiet", *options])
    started = time.monotonic()
    done = subprocess.run(
        [*command, "--no-use-colors"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=PROJECT_ROOT,
    )
    seconds = time.monotonic() - started
    if done.returncode == 0:
        running.say(f"[green]{'dbt':>10}[/] built and tested in {seconds:.0f} s")
    else:
        for line in done.stdout.splitlines()[-15:]:
            running.say(f"[red]{'dbt':>10}[/] {line.replace('[', chr(92) + '[')}")
    return done.returncode == 0


def run(
    stack: Stack,
    *,
    port: int,
    orders_per_day: int,
    days: int,
    build_every: int,
    seed: int,
) -> None:
    """Run generator, ingestion, dbt and dashboards until Ctrl-C, or until one of them ends.

    Raises:
        ServiceError: One of them ended by itself.
    """
    with programs(stack) as running:
        running.start("ingest", ingester_command())
        running.start("generate", generator_command(orders_per_day, days, seed))
        running.start("dashboard", dashboard_command(port))
        console.say(
            f"\n[bold]The dashboards are at http://{LOCALHOST}:{port}[/]; Ctrl-C ends everything.\n"
        )
        next_build = time.monotonic() + 25
        while True:
            time.sleep(0.5)
            gone = running.ended()
            if gone is not None:
                name, code = gone
                raise ServiceError(
                    f"{name} ended by itself with {code}, so everything was ended.",
                    "Its last lines are above. Run `pbm status`, then `pbm live` again.",
                )
            if time.monotonic() >= next_build:
                build(stack, running)
                next_build = time.monotonic() + build_every
