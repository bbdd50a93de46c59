"""Errors that a user can act on.

Each is one sentence that names what was wrong, and one that says what to do next. The command
line prints both, never a traceback (``--verbose`` shows it), and exits with the error's code.
"""


class PbmError(Exception):
    """A problem that the user can solve.

    Args:
        problem: One sentence that names what was wrong and where. Never a payload or an
            identifier of a patient.
        hint: What to do next.
    """

    exit_code = 1

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


class CheckFailedError(PbmError):
    """The command ran, and what it checks does not hold (exit code 1)."""

    exit_code = 1


class UsageError(PbmError):
    """The command's words do not fit together (exit code 2, as Typer's own)."""

    exit_code = 2


class InputError(PbmError):
    """A file or a value that was given cannot be used (exit code 3)."""

    exit_code = 3


class ServiceError(PbmError):
    """A service that is needed does not answer or cannot start (exit code 4)."""

    exit_code = 4


class UnreachableError(ServiceError):
    """A service does not answer now, and may do so again (exit code 4)."""


class ConfigurationError(PbmError):
    """A setting or configuration file is wrong or points elsewhere (exit code 5)."""

    exit_code = 5
