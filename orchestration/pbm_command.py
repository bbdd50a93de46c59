"""The ``pbm`` command line as an Airflow operator.

Pipelines do the platform's work with the commands that a person would type, in a process of their
own: what works in a shell works here, and an interrupted task ends its command as Ctrl-C does.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import IO, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pbm.errors import ConfigurationError, InputError, UsageError
from pbm.settings import PROJECT_ROOT

_HOPELESS = {error.exit_code for error in (UsageError, InputError, ConfigurationError)}
_PATIENCE = 30
"""Seconds that a command has to end after it was told to."""


class PbmCommand:
    """One run of ``pbm``; its words to the log, its JSON to the caller.

    Args:
        arguments: The command; ``--json`` is added.
        say: What to do with each line that it says.
    """

    def __init__(self, arguments: Sequence[str], say: Any) -> None:  # noqa: ANN401
        # a templated number may be one
        self._arguments = [*map(str, arguments), "--json"]
        self._say = say
        self._process: subprocess.Popen[str] | None = None

    def run(self) -> dict[str, Any]:
        """Run it to its end and return what it printed.

        Raises:
            AirflowFailException: It cannot work however often it is tried.
            AirflowException: It failed.
        """
        self._say(f"pbm {' '.join(self._arguments)}")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pbm", *self._arguments],
            cwd=PROJECT_ROOT,
            # a task's own logging must not reach the command
            env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        said: list[str] = []
        assert self._process.stderr is not None
        listener = Thread(target=self._listen, args=(self._process.stderr, said), daemon=True)
        listener.start()
        try:
            assert self._process.stdout is not None
            printed = self._process.stdout.read()
            code = self._process.wait()
        finally:
            self.end()
        listener.join()
        if code != 0:
            hopeless = code in {
                error.exit_code for error in (UsageError, InputError, ConfigurationError)
            }
            failure = AirflowFailException if hopeless else AirflowException
            words = " ".join(self._arguments[:2])
            raise failure(f"pbm {words} ended with exit code {code}: {' '.join(said[-4:])}")
        result = json.loads(printed)
        assert isinstance(result, dict)
        return result

    def _listen(self, stream: IO[str], said: list[str]) -> None:
        for line in stream:
            if line.strip():
                said.append(line.strip())
                self._say(line.rstrip())

    def end(self) -> None:
        """End it, if it still runs: as Ctrl-C does first."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, sign)
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                return
            return


class PbmOperator(BaseOperator):
    """Run a ``pbm`` command; what it printed as JSON is the task's result.

    Args:
        arguments: The command and its options, templated.
        then_remove: A file to remove when the command has done its work, templated.
    """

    template_fields = ("arguments", "then_remove")

    def __init__(
        self,
        *,
        arguments: Sequence[str],
        then_remove: str | None = None,
        **kwargs: Any,  # noqa: ANN401  Airflow's own
    ) -> None:
        super().__init__(**kwargs)
        self.arguments = [*arguments]
        self.then_remove = then_remove
        self._command: PbmCommand | None = None

    def execute(self, context: Any) -> dict[str, Any]:  # noqa: ANN401, ARG002
        """Run the command."""
        self._command = PbmCommand(self.arguments, self.log.info)
        result = self._command.run()
        if self.then_remove is not None:
            Path(self.then_remove).unlink(missing_ok=True)
        return result

    def on_kill(self) -> None:
        """End the command with its task."""
        if self._command is not None:
            self._command.end()
