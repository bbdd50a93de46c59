"""A stack for the measurements alone, gone afterwards."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from pbm.running import program
from pbm.settings import Settings
from pbm.stack import Stack


@dataclass
class Bench:
    """A running stack, and an environment that points at it."""

    dsn: str
    env: dict[str, str]

    @property
    def command(self) -> list[str]:
        """How `pbm` is called."""
        return [program("pbm")]

    def pbm(self, *arguments: str) -> str:
        """Run `pbm` and return what it prints."""
        return subprocess.run(
            [*self.command, *arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
            check=True,
            text=True,
        ).stdout


@contextmanager
def bench_stack() -> Iterator[Bench]:
    """Start a stack in a temporary home; stop it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            home=Path(folder) / "home", postgres_dsn=None, pubsub_emulator_host=None
        )
        stack = Stack(settings)
        # Google's emulator keeps about 7 KB in memory for each message that waits
        heap = psutil.virtual_memory().total * 6 // 10 // 2**20
        os.environ["JAVA_TOOL_OPTIONS"] = f"-Xmx{heap}m"
        try:
            stack.up()
            yield Bench(stack.require_postgres_dsn(), {**os.environ, **stack.environment()})
        finally:
            stack.down()
