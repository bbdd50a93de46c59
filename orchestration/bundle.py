"""What a managed Airflow is given: one file of DAGs, packages, dbt project and manifest.

It is unpacked into the environment's DAGs folder, which Airflow puts on Python's path. It looks
like the repository, so that everything in it finds its way, and holds the packages' metadata, by
which ``pbm`` finds its commands.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

from orchestration import dbt_project
from pbm.errors import CheckFailedError
from pbm.settings import PROJECT_ROOT

_OTHERS: Final = ("profiles.yml.example",)
_NOT_DAGS: Final = """\
# Airflow looks for DAGs in orchestration/dags only.
dashboards/
ingestion/
pbm/
orchestration/*.py
macros/
models/
seeds/
target/
tests/
*.dist-info/
"""


def build(folder: Path, target: str) -> Path:
    """Build the bundle; return its file.

    Args:
        folder: Where it goes.
        target: dbt's target that its manifest is made for.

    Raises:
        CheckFailedError: A package or the manifest cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pbm-bundle-") as scratch:
        root = Path(scratch) / "bundle"
        root.mkdir()
        _unpack_packages(Path(scratch), root)
        for name in (*dbt_project.PARTS, *_OTHERS):
            _copy(PROJECT_ROOT / name, root / name)
        shutil.copyfile(root / "profiles.yml.example", root / "profiles.yml")
        (root / ".airflowignore").write_text(_NOT_DAGS)
        dbt_project.prepare(root, root, root, target)
        (root / "target" / "dbt.log").unlink(missing_ok=True)
        about = {
            "version": _version(root),
            "target": target,
            "project_sha256": dbt_project.project_hash(root),
        }
        (root / "bundle.json").write_text(json.dumps(about, indent=2) + "\n")
        path = folder / f"pbm-logistics-360-{about['version']}-{target}.tar.gz"
        draft = path.with_suffix(".draft")
        with tarfile.open(draft, "w:gz") as archive:
            for member in sorted(root.rglob("*")):
                if member.is_file():
                    archive.add(member, member.relative_to(root).as_posix(), filter=_nobody)
        draft.replace(path)
    return path


def _unpack_packages(scratch: Path, root: Path) -> None:
    """The packages as they would be installed, with their metadata."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--disable-pip-version-check", "--wheel-dir", str(scratch), str(_sources(scratch))),
        ],
        env={**os.environ, "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise CheckFailedError(
            f"The packages cannot be built: {done.stderr.strip()[-500:]}", "Correct what it names."
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(root)  # noqa: S202  our own


def _sources(scratch: Path) -> Path:
    """What the packages are built from, away from the repository, which a build would write in."""
    sources = scratch / "sources"
    for name in ("pbm", "ingestion", "orchestration", "dashboards", "pyproject.toml", "README.md"):
        if (PROJECT_ROOT / name).exists():
            _copy(PROJECT_ROOT / name, sources / name)
    return sources


def _copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    else:
        shutil.copyfile(source, to)


def _version(root: Path) -> str:
    """The project's version and twelve digits of what is in the bundle."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        # what dbt makes of the project names the folder and the time
        if path.is_file() and path.relative_to(root).parts[0] != "target":
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return f"{version('pbm-logistics-360')}+{digest.hexdigest()[:12]}"


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same bytes whoever builds it, and whenever, but for what dbt writes."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member
