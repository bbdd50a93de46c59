"""Checkov on Terraform's files and Dockerfiles: nothing fails, and every skip has a reason."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT_ROOT
from tests.infra.hcl import FILES

# it has pins of its own, and is installed beside the environment
CHECKOV = [str(Path(sys.executable).parent / "uvx"), "--quiet", "checkov@3.3.30"]


def test_checkov_finds_nothing_and_every_skip_says_why() -> None:
    done = subprocess.run(
        [
            *CHECKOV, "--directory", str(PROJECT_ROOT / "infra"), "--framework", "terraform",
            "dockerfile", "--output", "json", "--compact", "--skip-download",
            "--download-external-modules", "false",
        ],
        capture_output=True, text=True, check=False, timeout=300, cwd=PROJECT_ROOT,
    )  # fmt: skip
    reports = json.loads(done.stdout)
    reports = reports if isinstance(reports, list) else [reports]
    assert {one["check_type"] for one in reports} == {"terraform", "dockerfile"}
    failed = {
        (check["check_id"], check["resource"], check["file_path"])
        for one in reports
        for check in one["results"]["failed_checks"]
    }
    assert failed == set(), done.stderr
    assert sum(one["summary"]["passed"] for one in reports) > 150
    texts = [file.read_text() for file in FILES]
    texts += [file.read_text() for file in PROJECT_ROOT.glob("infra/**/Dockerfile*")]
    for text in texts:
        for reason in re.findall(r"checkov:skip=\w+(.*)", text):
            assert len(reason) > len(": because"), "a skip without a reason"
