"""The Flex Template's image: what can be checked of it without building it."""

import json
import re
import subprocess
import sys
from pathlib import Path

from ingestion.dataflow import PATTERNS, REQUIRED, IngestOptions

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra" / "dataflow"
LINE = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def test_the_metadata_describe_the_options_of_the_job() -> None:
    parameters = {
        p["name"]: p for p in json.loads((INFRA / "metadata.json").read_text())["parameters"]
    }
    defaults = vars(IngestOptions([]).view_as(IngestOptions)._visible_options)
    defaults = {name: value for name, value in defaults.items() if name in PATTERNS}
    assert set(parameters) == set(PATTERNS) == set(defaults)
    for name, parameter in parameters.items():
        assert parameter["regexes"] == [f"^({PATTERNS[name]})$"]
        assert parameter["isOptional"] is (name not in REQUIRED)
        assert parameter.get("defaultValue") == defaults[name]


def test_what_the_image_copies_exists() -> None:
    text = (INFRA / "Dockerfile").read_text()
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert {"pbm", "ingestion", "requirements/dataflow.txt"} <= set(sources)
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_image_has_the_packages_of_the_lock_and_the_beam_of_its_base() -> None:
    ours = dict(LINE.findall((ROOT / "requirements" / "dataflow.txt").read_text()))
    lock = dict(LINE.findall((ROOT / "requirements" / "dev.txt").read_text()))
    assert {name: version for name, version in ours.items() if lock.get(name) != version} == {}
    base = re.search(r"BEAM_VERSION=(\S+)", (INFRA / "Dockerfile").read_text())
    assert base is not None
    assert base[1] == ours["apache-beam"]
    assert {"google-cloud-secret-manager", "google-cloud-pubsub"} <= set(ours)
    assert not {"dbt-core", "streamlit", "apache-airflow", "bqemulator"} & set(ours)


def test_every_package_of_the_image_is_hashed_and_no_host_is_named() -> None:
    text = (ROOT / "requirements" / "dataflow.txt").read_text()
    for requirement in re.split(r"\n(?=[A-Za-z0-9])", text):
        assert "--hash=sha256:" in requirement
    assert "://" not in text


def test_the_job_needs_nothing_that_the_image_lacks() -> None:
    """Import the entry point where only the image's packages can be imported."""
    code = """
import importlib.metadata as metadata, re, sys
names = {re.sub("[-_.]+", "-", line).lower() for line in sys.argv[1].split()}
allowed = set()
for top, distributions in metadata.packages_distributions().items():
    if any(re.sub("[-_.]+", "-", d).lower() in names for d in distributions):
        allowed.add(top)
known = set(metadata.packages_distributions())

class Guard:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in known - allowed - {"pbm", "ingestion"}:
            raise ModuleNotFoundError(f"{top} is not in the image", name=top)

sys.meta_path.insert(0, Guard())
import ingestion.dataflow
from google.cloud import secretmanager
"""
    text = (ROOT / "requirements" / "dataflow.txt").read_text()
    names = " ".join(name for name, _ in LINE.findall(text))
    result = subprocess.run(
        [sys.executable, "-c", code, names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
