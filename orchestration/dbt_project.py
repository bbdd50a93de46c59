"""The dbt project as the DAGs need it: read by dbt beforehand, and proved to be what was read.

A prepared project is a folder with the project's files and, in ``target/``, what ``dbt parse``
made of them for one target: the manifest, dbt's own cache for a quick start, and the hash of every
file that was read. Loading a DAG only reads the manifest; it refuses one of other files.
"""

import functools
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pbm.errors import CheckFailedError, ConfigurationError
from pbm.running import program

PROFILE: Final = "pbm_logistics_360"
PARTS: Final = ("dbt_project.yml", "macros", "models", "seeds", "tests/generic", "tests/singular")
"""All that dbt reads of the repository."""

_STAMP: Final = "project.json"


@dataclass(frozen=True)
class DbtProject:
    """A project that dbt has read for a target.

    Attributes:
        folder: The project, with what dbt made of it in ``target/``.
        target: dbt's target.
        manifest: The manifest's content.
    """

    folder: Path
    target: str
    manifest: dict[str, Any]

    @property
    def manifest_path(self) -> Path:
        """The manifest's file."""
        return _manifest_path(self.folder)


def files(folder: Path) -> Iterator[Path]:
    """The files that dbt reads, relative to ``folder`` and sorted."""
    for part in PARTS:
        path = folder / part
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        # hidden files are none of dbt's: editors leave them
        yield from (
            one.relative_to(folder)
            for one in found
            if one.is_file() and not one.name.startswith(".")
        )


def project_hash(folder: Path) -> str:
    """SHA-256 of the names and bytes of all files that dbt reads."""
    digest = hashlib.sha256()
    for path in files(folder):
        content = hashlib.sha256((folder / path).read_bytes()).hexdigest()
        digest.update(f"{path.as_posix()} {content}\n".encode())
    return digest.hexdigest()


def is_prepared(folder: Path, target: str) -> bool:
    """Whether ``folder`` holds a manifest of just these files and this target."""
    try:
        load(folder, target)
    except ConfigurationError:
        return False
    return True


def prepare(source: Path, folder: Path, profiles: Path, target: str) -> None:
    """Let dbt read a project, unless it has read just these files for this target before.

    Args:
        source: The repository, or whatever holds dbt's files.
        folder: Where the prepared project goes; links lead to ``source``. May be ``source``.
        profiles: The folder of the ``profiles.yml`` with which it will run.
        target: dbt's target.

    Raises:
        CheckFailedError: dbt refuses the project.
    """
    if folder != source:
        _link(source, folder)
    stamp = folder / "target" / _STAMP
    if is_prepared(folder, target):
        return
    stamp.unlink(missing_ok=True)
    before = project_hash(folder)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DBT_")}
    done = subprocess.run(
        [
            *(program("dbt"), "--quiet", "parse", "--no-static-parser"),
            # as Cosmos will name them, or dbt would read everything again
            *("--project-dir", str(folder), "--profiles-dir", str(profiles)),
            *("--profile", PROFILE, "--target", target),
        ],
        env={**kept, "DBT_LOG_PATH": str(folder / "target")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CheckFailedError(
            f"dbt cannot read the project: {done.stdout.strip()}", "Correct what it names."
        )
    manifest = _manifest_path(folder)
    content = {
        "target": target,
        "project_sha256": before,
        "manifest_sha256": hashlib.sha256(manifest.read_bytes()).hexdigest(),
    }
    draft = stamp.with_suffix(".draft")
    draft.write_text(json.dumps(content, indent=2) + "\n")
    draft.replace(stamp)


def load(folder: Path, target: str) -> DbtProject:
    """A prepared project, proved to be of the files that are there now.

    Raises:
        ConfigurationError: There is none, or it was made of other files or for another target.
    """
    hint = 'Run `eval "$(pbm env)"`, or build and deploy the bundle anew.'
    manifest = _manifest_path(folder)
    try:
        stamp = json.loads((folder / "target" / _STAMP).read_text())
        content = manifest.read_bytes()
    except (OSError, ValueError):
        raise ConfigurationError(
            f"{folder} holds no manifest that dbt made for Airflow.", hint
        ) from None
    if stamp.get("target") != target:
        raise ConfigurationError(
            f"The manifest in {folder} is for dbt's target {stamp.get('target')}, not {target}.",
            f"{hint} PBM_DBT_TARGET names the target.",
        )
    for name, found in (
        ("manifest", hashlib.sha256(content).hexdigest()),
        ("project", project_hash(folder)),
    ):
        if stamp.get(f"{name}_sha256") != found:
            raise ConfigurationError(
                f"The dbt project in {folder} is not the one that its manifest was made of: the "
                f"{name}'s hash is {found[:12]}, and was {str(stamp.get(f'{name}_sha256'))[:12]}.",
                hint,
            )
    return DbtProject(folder, target, _parsed(content))


@functools.lru_cache(maxsize=1)
def _parsed(content: bytes) -> dict[str, Any]:
    manifest = json.loads(content)
    assert isinstance(manifest, dict)
    return manifest


def _manifest_path(folder: Path) -> Path:
    return folder / "target" / "manifest.json"


def _link(source: Path, folder: Path) -> None:
    """Make ``folder`` show the project's files of ``source``, as they are at any time."""
    (folder / "tests").mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        link = folder / part
        if link.is_symlink() and link.readlink() == source / part:
            continue
        if link.is_dir() and not link.is_symlink():
            shutil.rmtree(link)
        link.unlink(missing_ok=True)
        link.symlink_to(source / part)
