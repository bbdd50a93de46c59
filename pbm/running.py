"""Running other programs against a stack, and stopping afterwards what was started for them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pbm import dbt_profile, warehouse
from pbm.settings import PROJECT_ROOT, Settings
from pbm.stack import Stack


@contextmanager
def running_stack(settings: Settings) -> Iterator[Stack]:
    """The stack, up; what this call had to start is stopped at the end."""
    stack = Stack(settings)
    was_up = stack.is_up()
    try:
        stack.up()
        yield stack
    finally:
        if not was_up:
            stack.down()


def program(name: str) -> str:
    """Path of a program of this environment, such as ``dbt``."""
    return str(Path(sys.executable).parent / name)


def dbt_command(stack: Stack, arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The dbt command line for ``stack``, and its environment.

    Raises:
        ServiceError: PostgreSQL does not run or answer.
        ConfigurationError: The ``profiles.yml`` in force points elsewhere.
    """
    dsn = stack.require_postgres_dsn()
    warehouse.connect(dsn, role=warehouse.TRANSFORMER).close()
    folder = dbt_profile.folder_in_force(stack.settings)
    dbt_profile.check(folder / "profiles.yml", dsn)
    command = [program("dbt"), *arguments, "--project-dir", str(PROJECT_ROOT)]
    environment = {**os.environ, **stack.environment(), "DBT_PROFILES_DIR": str(folder)}
    return command, environment


def dbt(stack: Stack, arguments: Sequence[str]) -> int:
    """Run dbt on ``stack``, its output straight to the terminal; return its exit code.

    Raises:
        ServiceError: PostgreSQL does not run or answer.
        ConfigurationError: The ``profiles.yml`` in force points elsewhere.
    """
    command, environment = dbt_command(stack, arguments)
    return subprocess.run(command, env=environment, check=False).returncode
