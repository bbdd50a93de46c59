"""The part of dbt's manifest that the dashboards read, written where they look for it."""

import json
from pathlib import Path

from pbm import dbt_manifest
from pbm.settings import PROJECT_ROOT, Settings


def path_of(settings: Settings) -> Path:
    """Where the dashboards look for the manifest."""
    return settings.dashboard_manifest or settings.home / "dashboard" / "manifest.json"


def write(settings: Settings) -> Path:
    """Let dbt parse the project and keep its doc blocks, unless they are there and newer.

    A manifest that ``PBM_DASHBOARD_MANIFEST`` names is somebody else's and stays as it is.

    Raises:
        CheckFailedError: dbt cannot read the project.
    """
    path = path_of(settings)
    if settings.dashboard_manifest is not None or _is_fresh(path):
        return path
    docs = dbt_manifest.read("local")["docs"]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"docs": docs}))
    draft.replace(path)
    return path


def _is_fresh(path: Path) -> bool:
    if not path.exists():
        return False
    written = path.stat().st_mtime
    return all(page.stat().st_mtime < written for page in PROJECT_ROOT.glob("models/docs/*.md"))
