"""The local services, for real: start, find, stop, and what the environment overrides."""

import contextlib
import functools
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import yaml

from pbm import postgres, pubsub
from pbm.processes import free_port
from pbm.settings import Settings
from pbm.stack import Stack
from tests.conftest import PBM, clean_environment, run_pbm


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment with a home of its own; whatever runs in it is stopped at the end."""
    variables = clean_environment(PBM_HOME=str(tmp_path / "home"))
    yield variables
    run_pbm("down", env=variables)


def up(env: dict[str, str]) -> dict[str, Any]:
    result = run_pbm("up", "--json", env=env)
    assert result.returncode == 0, result.stderr
    started = json.loads(result.stdout)
    assert isinstance(started, dict)
    return started


def status(env: dict[str, str]) -> dict[str, Any]:
    result = json.loads(run_pbm("status", "--json", env=env).stdout)
    assert isinstance(result, dict)
    return result


def processes_of(home: Path) -> list[str]:
    """Command lines of the processes that belong to a home."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ", "name"]):
        line = " ".join(process.info["cmdline"] or [])
        environment = process.info["environ"] or {}
        is_ours = environment.get("PBM_HOME") == str(home) or str(home) in line
        if is_ours and process.info["name"] in {"postgres", "java"}:
            found.append(line)
    return found


def test_up_status_down_and_up_again_keep_data_and_ports(env: dict[str, str]) -> None:
    first = up(env)
    assert first["running"] is True
    assert first["state_dir"] == env["PBM_HOME"]
    assert {service["name"] for service in first["services"]} == {"postgres", "pubsub"}
    with psycopg.connect(first["postgres_dsn"]) as connection:
        connection.execute("create table public.kept as select 42 as answer")

    again = up(env)
    assert again == first == status(env)

    assert run_pbm("down", env=env).returncode == 0
    assert processes_of(Path(env["PBM_HOME"])) == []
    assert status(env)["running"] is False
    assert run_pbm("down", env=env).returncode == 0, "a second `down` is fine"

    third = up(env)
    assert third["postgres_dsn"] == first["postgres_dsn"]
    with psycopg.connect(third["postgres_dsn"]) as connection:
        assert connection.execute("select answer from public.kept").fetchone() == (42,)


def test_two_stacks_live_side_by_side(env: dict[str, str], services: dict[str, Any]) -> None:
    mine = up(env)
    assert mine["postgres_dsn"] != services["postgres_dsn"]
    assert mine["pubsub_emulator_host"] != services["pubsub_emulator_host"]
    run_pbm("down", env=env)
    other = status(clean_environment(PBM_HOME=services["state_dir"]))
    assert other["running"] is True, "stopping one stack must not touch the other"


def test_env_points_a_shell_at_the_stack(env: dict[str, str]) -> None:
    started = up(env)
    script = f'eval "$({PBM} env)"; env -0'
    printed = subprocess.run(
        ["bash", "-c", script], env=env, capture_output=True, text=True, check=True
    ).stdout
    shell = dict(line.split("=", 1) for line in printed.split("\0") if "=" in line)
    assert shell["PBM_HOME"] == env["PBM_HOME"]
    assert shell["PBM_POSTGRES_DSN"] == started["postgres_dsn"]
    assert shell["PUBSUB_EMULATOR_HOST"] == started["pubsub_emulator_host"]
    assert shell["GOOGLE_CLOUD_PROJECT"] == "pbm-local"
    profile = yaml.safe_load((Path(shell["DBT_PROFILES_DIR"]) / "profiles.yml").read_text())
    local = profile["pbm_logistics_360"]["outputs"]["local"]
    assert started["postgres_dsn"].endswith(f":{local['port']}/{local['dbname']}")
    assert "PBM_PSEUDONYM_KEY" not in shell
    key = (Path(env["PBM_HOME"]) / "pseudonym.key").read_text()
    assert key not in printed

    # in that shell the stack is still its own: it can be stopped and started
    shell = {**env, **{name: shell[name] for name in shell if name.startswith(("PBM_", "PUBSUB_"))}}
    assert run_pbm("down", env=shell).returncode == 0
    assert processes_of(Path(env["PBM_HOME"])) == []
    again = up(shell)
    assert again["postgres_dsn"] == started["postgres_dsn"]
    assert all(service["managed"] for service in again["services"])


def test_servers_of_the_environment_are_used_and_left_running(
    env: dict[str, str], services: dict[str, Any]
) -> None:
    env |= {
        "PBM_POSTGRES_DSN": services["postgres_dsn"],
        "PUBSUB_EMULATOR_HOST": services["pubsub_emulator_host"],
        "GOOGLE_CLOUD_PROJECT": "somebody-elses",
    }
    started = up(env)
    assert started["running"] is True
    assert [service["managed"] for service in started["services"]] == [False, False]
    assert processes_of(Path(env["PBM_HOME"])) == []
    assert run_pbm("down", env=env).returncode == 0
    assert status(env)["running"] is True


def test_the_generated_key_is_readable_by_its_owner_only(env: dict[str, str]) -> None:
    run_pbm("up", env=env)
    key = Path(env["PBM_HOME"]) / "pseudonym.key"
    assert key.stat().st_mode & 0o077 == 0
    assert len(key.read_bytes()) >= 32


def test_a_killed_service_is_started_again(env: dict[str, str]) -> None:
    run_pbm("up", env=env)
    state = json.loads((Path(env["PBM_HOME"]) / "services.json").read_text())
    postmaster = Path(env["PBM_HOME"]) / "postgres" / "data" / "postmaster.pid"
    os.kill(state["emulator"]["pid"], 9)
    os.kill(int(postmaster.read_text().splitlines()[0]), 9)
    psutil.wait_procs(
        [p for p in psutil.process_iter() if p.pid == state["emulator"]["pid"]], timeout=5
    )
    assert status(env)["running"] is False
    assert up(env)["running"] is True


def test_a_server_whose_port_is_taken_while_it_starts_gets_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]
        for module in (postgres, pubsub):
            chosen = iter([taken, free_port()])
            monkeypatch.setattr(module, "free_port", functools.partial(next, chosen))
        stack = Stack(
            Settings(home=tmp_path / "home", postgres_dsn=None, pubsub_emulator_host=None)
        )
        try:
            status = stack.up()
        finally:
            stack.down()
    assert status.running
    assert str(taken) not in f"{status.postgres_dsn} {status.pubsub_emulator_host}"
    assert processes_of(tmp_path / "home") == []


# -------------------------------------------------------------------- errors


def assert_error(result: subprocess.CompletedProcess[str], code: int, *fragments: str) -> None:
    """One sentence that names the problem, one that says what to do, no traceback."""
    assert result.returncode == code, result.stderr
    text = " ".join(result.stderr.split())
    assert "Traceback" not in text
    assert "what to do:" in text
    for fragment in fragments:
        assert fragment in text


def test_env_without_a_stack_says_to_start_it(env: dict[str, str]) -> None:
    assert_error(run_pbm("env", env=env), 4, "is not running", "pbm up")


def test_a_port_in_use_is_named(env: dict[str, str]) -> None:
    started = up(env)
    run_pbm("down", env=env)
    port = int(started["postgres_dsn"].split(":")[-1].split("/")[0])
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # somebody else may be quicker, which is as good
            squatter.bind(("127.0.0.1", port))
            squatter.listen()
        # a shell that still names the port must be told; a fresh one just gets another port
        named = {**env, "PBM_POSTGRES_DSN": started["postgres_dsn"]}
        assert_error(run_pbm("up", env=named), 4, f"Port {port}", "in use", "PBM_POSTGRES_DSN")
        fresh = up(env)
        assert fresh["running"] is True
        assert fresh["postgres_dsn"] != started["postgres_dsn"]


def test_an_unreachable_database_is_named_without_its_password(env: dict[str, str]) -> None:
    env["PBM_POSTGRES_DSN"] = "postgresql://someone:s3cret@127.0.0.1:9/warehouse"
    result = run_pbm("up", env=env)
    assert_error(result, 4, "127.0.0.1:9", "warehouse", "does not answer", "PBM_POSTGRES_DSN")
    verbose = run_pbm("up", "--verbose", env=env)
    assert "Traceback" in verbose.stderr
    assert "s3cret" not in result.stderr + result.stdout + verbose.stderr


def test_an_unreachable_emulator_is_named(env: dict[str, str]) -> None:
    env["PUBSUB_EMULATOR_HOST"] = "127.0.0.1:9"
    assert_error(run_pbm("up", env=env), 4, "127.0.0.1:9", "PUBSUB_EMULATOR_HOST")


def test_a_server_that_is_no_emulator_is_named(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):  # closed below
                while True:
                    client, _ = server.accept()
                    with client:
                        client.recv(1000)
                        client.sendall(b"\0\0\6\4\0\0\0\0\0\0\4\0\x10\0\0")  # HTTP/2

        threading.Thread(target=answer, daemon=True).start()
        env["PUBSUB_EMULATOR_HOST"] = f"127.0.0.1:{server.getsockname()[1]}"
        named = (env["PUBSUB_EMULATOR_HOST"], "does not speak HTTP", "PUBSUB_EMULATOR_HOST")
        assert_error(run_pbm("up", env=env), 4, *named)
        assert status(env)["running"] is False


def test_a_short_pseudonym_key_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    run_pbm("up", env=env)
    events = tmp_path / "events.jsonl"
    events.write_text("{}\n")
    env["PBM_PSEUDONYM_KEY"] = "too short"
    result = run_pbm("ingest", "--from", str(events), env=env)
    assert_error(result, 5, "PBM_PSEUDONYM_KEY", "32")
    assert "too short" not in result.stderr


def test_a_setting_of_the_wrong_type_is_named(env: dict[str, str]) -> None:
    env["PBM_PSEUDONYM_KEY_VERSION"] = "first"
    assert_error(run_pbm("status", env=env), 5, "PBM_PSEUDONYM_KEY_VERSION")


def test_a_profile_that_points_elsewhere_is_named(env: dict[str, str], tmp_path: Path) -> None:
    run_pbm("up", env=env)
    profile = tmp_path / "profiles.yml"
    home_profile = yaml.safe_load((Path(env["PBM_HOME"]) / "profiles.yml").read_text())
    home_profile["pbm_logistics_360"]["outputs"]["local"]["port"] = 9
    profile.write_text(yaml.safe_dump(home_profile))
    env["DBT_PROFILES_DIR"] = str(tmp_path)
    assert_error(run_pbm("build", env=env), 5, str(profile), "points elsewhere", "127.0.0.1:9")
    profile.unlink()
    assert_error(run_pbm("build", env=env), 5, str(profile), "No such file")
