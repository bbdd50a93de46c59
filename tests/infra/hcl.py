"""Reading Terraform's files: every resource, data source and variable, with plain values."""

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hcl2

from tests.conftest import PROJECT_ROOT

TERRAFORM = PROJECT_ROOT / "infra" / "terraform"
FILES = sorted(TERRAFORM.rglob("*.tf"))

_BLOCK = "__is_block__"


class Resource(NamedTuple):
    """A resource or data source.

    ``body`` has strings without quotes and expressions as ``${…}``; a nested block is in a list.
    ``why`` is the comment above it that begins so.
    """

    kind: str
    type: str
    name: str
    file: Path
    body: dict[str, Any]
    why: str

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{self.file.relative_to(TERRAFORM)}: {self.type}.{self.name}"


@functools.cache
def parsed(file: Path) -> dict[str, Any]:
    """A file as hcl2 reads it."""
    with file.open() as text:
        found = hcl2.load(text)
    return {kind: found[kind] for kind in found if not kind.startswith("__")}


@functools.cache
def resources() -> tuple[Resource, ...]:
    """All resources and data sources of all files."""
    return tuple(found for file in FILES for found in _of_file(file))


def _of_file(file: Path) -> Iterator[Resource]:
    text = file.read_text()
    for kind in ("resource", "data"):
        for block in parsed(file).get(kind, []):
            for kind_of, named in block.items():
                for name, body in named.items():
                    yield Resource(
                        kind, _plain(kind_of), _plain(name), file, _values(body),
                        _why(text, _plain(kind_of), _plain(name)),
                    )  # fmt: skip


def _why(text: str, kind: str, name: str) -> str:
    above = re.search(
        rf'((?:^#[^\n]*\n)+)(?:resource|data) "{kind}" "{name}"', text, flags=re.MULTILINE
    )
    words = re.sub(r"^# ?", "", above[1], flags=re.MULTILINE).strip() if above else ""
    return " ".join(words.removeprefix("why:").split()) if words.startswith("why:") else ""


def variables(file: Path) -> dict[str, dict[str, Any]]:
    """The variables of a file."""
    found = {}
    for block in parsed(file).get("variable", []):
        for name, body in block.items():
            found[_plain(name)] = _values(body)
    return found


def locals_of(file: Path) -> dict[str, Any]:
    """The local values of a file."""
    found: dict[str, Any] = {}
    for block in parsed(file).get("locals", []):
        found |= _values(block)
    return found


def _plain(text: str) -> str:
    return text[1:-1] if text.startswith('"') and text.endswith('"') and len(text) > 1 else text


def _values(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain(name): _values(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_values(one) for one in value]
    return _plain(value).replace('\\"', '"') if isinstance(value, str) else value


def argument_names(body: Any) -> Iterator[str]:
    """The names of arguments and nested blocks, at any depth; the keys of maps are none."""
    for name, value in body.items():
        if name in {_BLOCK, "__comments__", "__inline_comments__"}:
            continue
        if name == "dynamic":
            for block in value:
                yield from _dynamic_names(block)
            continue
        yield name
        if isinstance(value, list):
            for one in value:
                if isinstance(one, dict) and _BLOCK in one:
                    yield from argument_names(one)


def _dynamic_names(block: dict[str, Any]) -> Iterator[str]:
    for name, inner in block.items():
        if name != _BLOCK:
            yield name
            for content in inner.get("content", []):
                yield from argument_names(content)


def provider_arguments() -> dict[str, Any]:
    """What Google's providers know of the resources that are used."""
    found = json.loads((TERRAFORM / "provider-arguments.json").read_text())["resources"]
    assert isinstance(found, dict)
    return found
