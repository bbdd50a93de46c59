"""The dbt project as dbt reads it, without a warehouse."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Literal

from pbm.errors import CheckFailedError
from pbm.running import program
from pbm.settings import PROJECT_ROOT

Target = Literal["local", "prod"]
PROJECT = "pbm_logistics_360"


def read(target: Target, artifacts: Path | None = None) -> dict[str, Any]:
    """What dbt's manifest says of the project when it is built for a target.

    Args:
        target: ``local`` is PostgreSQL, ``prod`` is BigQuery.
        artifacts: A folder that keeps the manifest; it is thrown away if not given.

    Raises:
        CheckFailedError: dbt refuses the project, or warns.
    """
    with tempfile.TemporaryDirectory(prefix="pbm-manifest-") as scratch:
        folder = artifacts or Path(scratch) / "target"
        # the example's defaults are enough: nothing here connects to a warehouse
        shutil.copy(PROJECT_ROOT / "profiles.yml.example", Path(scratch) / "profiles.yml")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DBT_")}
        kept.pop("PBM_SCHEMA_PREFIX", None)
        done = subprocess.run(
            [
                *(program("dbt"), "--quiet", "--warn-error", "parse", "--target", target),
                *("--no-partial-parse", "--project-dir", str(PROJECT_ROOT)),
            ],
            env={
                **kept,
                "DBT_PROFILES_DIR": scratch,
                "DBT_TARGET_PATH": str(folder),
                "DBT_LOG_PATH": scratch,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise CheckFailedError(
                f"dbt cannot read the project: {done.stdout.strip()}", "Correct what it names."
            )
        manifest = json.loads((folder / "manifest.json").read_text())
    assert isinstance(manifest, dict)
    return manifest
