"""docs/licences.md: the licence of every package of the lock, by its own metadata.

    python -m tests.infra.licences

writes it anew; a test fails when it is stale or a licence is not known.
"""

import re
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from tests.conftest import PROJECT_ROOT

PATH: Final = PROJECT_ROOT / "docs" / "licences.md"
IMAGES: Final = {
    "dataflow": "ingestion", "dbt": "dbt", "dashboard": "dashboard",
}  # fmt: skip

# what packages write, and what it is called
_NAMES: Final = (
    (r"apache|^asl", "Apache-2.0"),
    (r"mozilla|mpl", "MPL-2.0"),
    (r"lgpl|lesser", "LGPL"),
    (r"gpl|gnu general", "GPL"),
    (r"bsd.*3|3-clause", "BSD-3-Clause"),
    (r"bsd.*2|2-clause", "BSD-2-Clause"),
    (r"bsd", "BSD"),
    (r"python software foundation|^psf|python-2|^python$", "PSF-2.0"),
    (r"artistic", "Artistic"),
    (r"isc", "ISC"),
    (r"unlicense|public domain|cc0", "public domain"),
    (r"zpl|zope", "ZPL-2.1"),
    (r"mit", "MIT"),
    (r"postgresql", "PostgreSQL"),
    (r"hpnd", "HPND"),
    (r"zlib", "Zlib"),
)
ALLOWED: Final = {
    "Apache-2.0", "MPL-2.0", "LGPL", "BSD-3-Clause", "BSD-2-Clause", "BSD", "PSF-2.0", "ISC",
    "Artistic", "public domain", "ZPL-2.1", "MIT", "PostgreSQL", "HPND", "Zlib",
}  # fmt: skip
"""Licences under which a package may be used beside code of any licence."""

EXCEPTIONS: Final = {
    "axe-playwright-python": "its metadata state none; it has MIT, and axe-core in it MPL-2.0",
    "openlineage-sql": "its metadata state none; OpenLineage, whose part it is, has Apache-2.0",
}
"""Packages with another licence, and why they may be used all the same."""


def locked(name: str) -> list[str]:
    """The packages of a lock, by name."""
    text = (PROJECT_ROOT / "requirements" / f"{name}.txt").read_text()
    return sorted({m.lower() for m in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)})


def licence(package: str) -> tuple[str, str] | None:
    """A package's version and licence; None where it is not installed (other systems' packages)."""
    try:
        about: Any = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return None
    said = about.get("License-Expression") or ""
    if not said:
        classifiers = [
            one.rsplit("::", 1)[-1].strip()
            for one in about.get_all("Classifier") or []
            if one.startswith("License ::") and not one.endswith("OSI Approved")
        ]
        said = " OR ".join(classifiers) or (about.get("License") or "").strip().split("\n")[0]
    return about["Version"], " AND ".join(_named(said)) or "not stated"


def _named(said: str) -> list[str]:
    found = []
    for part in re.split(r"\s+(?:and|or|with)\s+|[/;,]", said, flags=re.IGNORECASE):
        for pattern, name in _NAMES:
            if re.search(pattern, part.strip("() "), re.IGNORECASE):
                found.append(name)
                break
    return sorted(set(found))


def render() -> str:
    """The page."""
    shipped: dict[str, list[str]] = {}
    for lock, image in IMAGES.items():
        for package in locked(lock):
            shipped.setdefault(package, []).append(image)
    lines = [
        "# Licences of the dependencies",
        "",
        "Every package of the developer environment that is installed on Linux, with the licence",
        "that its own metadata state, and the images that ship it. Written by `make generate`; a",
        "test fails when it is stale, and on a licence that is not known to go with code of any",
        "other. Where a package may be used under one of several licences, all are named.",
        "",
        "| package | version | licence | shipped in |",
        "|---|---|---|---|",
    ]
    for package in locked("dev"):
        found = licence(package)
        if found is not None:
            images = ", ".join(shipped.get(package, [])) or "—"
            lines.append(f"| {package} | {found[0]} | {found[1]} | {images} |")
    return "\n".join(lines) + "\n"


def unknown() -> dict[str, str]:
    """Packages whose licence is not allowed, or not stated."""
    found = {package: licence(package) for package in locked("dev")}
    return {
        package: about[1]
        for package, about in found.items()
        if about is not None and package not in EXCEPTIONS
        and not set(about[1].split(" AND ")) & ALLOWED
    }  # fmt: skip


def write(path: Path = PATH) -> None:
    """Write the page."""
    path.write_text(render())


if __name__ == "__main__":
    write()
