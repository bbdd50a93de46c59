"""Commands in documents and builds: whether what they name exists.

`pbm` and `dbt` are asked themselves, `make` by its targets, `gcloud` by the tree of commands
that it ships for completion, where it is installed.
"""

import functools
import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import typer
from dbt.cli.main import cli as dbt_cli

from pbm.cli import app
from tests.conftest import PROJECT_ROOT


def problems(text: str) -> list[str]:
    """What is wrong with the commands of a script or a code block."""
    joined = re.sub(r"\\\n\s*", " ", text)
    found: list[str] = []
    for line in joined.splitlines():
        for part in re.split(r"\s&&\s|\s\|\s|;\s|\$\(|`", line.strip()):
            words = [word.strip("\"')") for word in re.split(r"\s#", part)[0].split()]
            while words and re.fullmatch(r"\w+=\S*|sudo|time|do|then|exec", words[0]):
                words = words[1:]
            if words:
                found += _problems_of(Path(words[0]).name, words[1:])
    return found


def _problems_of(program: str, words: list[str]) -> Iterator[str]:
    checks = {"pbm": _pbm, "make": _make, "dbt": _dbt, "gcloud": _gcloud}
    if program in checks:
        yield from checks[program](words)
    for word in words:
        path = word.strip("\"'")
        is_ours = re.match(r"(infra|docs|requirements|models|tests|pbm)/[\w./-]+$", path)
        if is_ours and "tfvars" not in path and not (PROJECT_ROOT / path).exists():
            yield f"{path} does not exist"


@functools.cache
def _pbm_commands() -> Any:
    from ingestion.commands import register

    commands = typer.main.get_command(app)
    if "ingest" not in getattr(commands, "commands", {}):
        register(app)
        commands = typer.main.get_command(app)
    return commands


def _pbm(words: list[str]) -> Iterator[str]:
    yield from _click("pbm", _pbm_commands(), words)


def _dbt(words: list[str]) -> Iterator[str]:
    yield from _click("dbt", dbt_cli, words)


def _click(program: str, command: Any, words: list[str]) -> Iterator[str]:
    known: set[str] = {"--help", "--verbose", "--"}
    for word in words:
        if word == "--":
            return
        if word.startswith("--"):
            known |= {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
            free = getattr(command, "context_settings", {}).get("ignore_unknown_options")
            if word.split("=")[0] not in known and not free:
                yield f"{program} {command.name} has no {word.split('=')[0]}"
        elif isinstance(command, click.Group) or hasattr(command, "commands"):
            if word not in command.commands:
                yield f"{program} has no command {word}"
                return
            known |= {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
            command = command.commands[word]


@functools.cache
def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))


def _make(words: list[str]) -> Iterator[str]:
    for word in words:
        if re.fullmatch(r"[a-z-]+", word) and word not in _targets():
            yield f"make has no target {word}"


@functools.cache
def _gcloud_tree() -> Any:
    program = shutil.which("gcloud")
    if program is None:
        return None
    sdk = Path(program).resolve().parent.parent
    for folder in (sdk, Path("/usr/lib/google-cloud-sdk")):
        file = folder / "data" / "cli" / "gcloud_completions.py"
        if file.exists():
            spec = importlib.util.spec_from_file_location("gcloud_completions", file)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module.STATIC_COMPLETION_CLI_TREE
    return None


_OF_LISTS = {"--filter", "--limit"}


def _gcloud(words: list[str]) -> Iterator[str]:
    tree = _gcloud_tree()
    if tree is None:
        return
    said = "gcloud"
    everywhere = set(tree["flags"]) | _OF_LISTS
    for word in words:
        if word.startswith("--"):
            name = word.split("=")[0]
            if name not in set(tree.get("flags", {})) | everywhere:
                yield f"{said} has no {name}"
        elif tree.get("commands"):
            if word not in tree["commands"]:
                yield f"{said} has no {word}"
                return
            tree, said = tree["commands"][word], f"{said} {word}"
