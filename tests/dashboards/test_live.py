"""`pbm live`: four programs in one terminal, all of which end at Ctrl-C."""

import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from dashboards import manifest
from dashboards.twin import Programs
from pbm import warehouse
from pbm.errors import ServiceError
from pbm.processes import free_port, wait_until
from pbm.settings import Settings
from pbm.stack import Stack
from tests.conftest import PBM, PROJECT_ROOT, clean_environment, run_pbm


def test_live_runs_everything_and_ctrl_c_ends_all_of_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    # the explanations are made elsewhere; what matters here is what runs
    explanations = tmp_path / "manifest.json"
    explanations.write_text("{}")
    env = clean_environment(PBM_HOME=str(home), PBM_DASHBOARD_MANIFEST=str(explanations))
    port = free_port()
    log = tmp_path / "live.log"
    with log.open("w") as output:
        live = subprocess.Popen(
            [
                *(PBM, "live", "--port", str(port), "--orders-per-day", "40", "--days", "1"),
                *("--build-every", "3600"),
            ],
            env=env,
            stdout=output,
            stderr=output,
        )
    stack = Stack(
        Settings(home=home, postgres_dsn=None, pubsub_emulator_host=None, dbt_profiles_dir=None)
    )
    children: list[psutil.Process] = []
    try:

        def has_landed() -> bool:
            assert live.poll() is None, log.read_text()
            dsn = stack.postgres_dsn()
            if dsn is None:
                return False
            try:
                with warehouse.connect(dsn) as connection:
                    found = connection.execute("select count(*) > 0 from pbm_bronze.raw_orders")
                    return bool((found.fetchone() or (False,))[0])
            except Exception:  # noqa: BLE001  it is being started
                return False

        assert wait_until(has_landed, seconds=120), log.read_text()
        children = psutil.Process(live.pid).children(recursive=True)
        said = " ".join(word for child in children for word in child.cmdline())
        assert all(name in said for name in ("streamlit", "ingest", "generate")), said
    finally:
        live.send_signal(signal.SIGINT)
        try:
            code = live.wait(60)
        finally:
            live.terminate()  # which does nothing to one that has ended
    assert code == 130
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    assert stack.postgres_dsn() is None, "PostgreSQL runs still"
    assert "Traceback" not in log.read_text()


def test_a_program_that_does_not_end_is_killed_and_its_lines_are_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dashboards.twin._GRACE", 1)
    lines: list[str] = []
    running = Programs(clean_environment(), lines.append)
    running.start(
        "deaf", ["bash", "-c", "trap '' TERM; echo [I am here]; sleep 30 & wait; sleep 30"]
    )
    assert wait_until(lambda: bool(lines), seconds=10)
    assert "\\[I am here]" in lines[0]
    assert running.ended() is None
    started = time.monotonic()
    running.stop_all()
    assert time.monotonic() - started < 10
    running.start("brief", ["bash", "-c", "exit 3"])
    assert wait_until(lambda: running.ended() == ("brief", 3), seconds=10)
    running.stop_all()


def test_the_manifest_is_written_once_and_again_when_a_metric_changes(tmp_path: Path) -> None:
    given = tmp_path / "given.json"
    assert manifest.write(Settings(home=tmp_path, dashboard_manifest=given)) == given
    assert not given.exists()
    path = tmp_path / "dashboard" / "manifest.json"
    path.parent.mkdir()
    path.write_text("{}")
    # newer than every page of docs: it stays
    assert manifest.write(Settings(home=tmp_path, dashboard_manifest=None)) == path
    assert path.read_text() == "{}"


def test_without_an_emulator_live_says_what_is_missing(
    tmp_path: Path, services: dict[str, object]
) -> None:
    env = clean_environment(
        PBM_HOME=str(tmp_path),
        PBM_POSTGRES_DSN=str(services["postgres_dsn"]),
        PUBSUB_EMULATOR_HOST="127.0.0.1:9",
    )
    done = run_pbm("live", env=env, cwd=PROJECT_ROOT)
    assert done.returncode == ServiceError.exit_code
    assert "Pub/Sub" in done.stderr
    assert "what to do:" in done.stderr
