"""What a hostile message can do: nothing but be landed, or refused, as it is."""

import json
import logging
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from ingestion.events import DeadLetter, Message, Pseudonymiser, check_message
from pbm.logs import JsonFormatter
from pbm.settings import Settings
from tests.conftest import PROJECT_ROOT, Platform, run_pbm
from tests.ingestion import fuzz

HOSTILE = {
    "sql": "x'); drop table pbm_bronze.raw_orders; --",
    "copy": "x\ty\\N\n\\.\nz",
    "json": '","data":{"patient":null},"x":"',
    "path": "../../../../etc/passwd",
    "log": 'x\n{"level": "error", "message": "forged"}',
    "terminal": "\x1b[2J\x1b]0;owned\x07[bold red]x[/]",
    "template": "{{ env_var('PBM_PSEUDONYM_KEY') }}{% raw %}",
    "format": "%s%n{0.__class__}",
    "formula": "=HYPERLINK(1)+cmd|' /C calc'!A0",
}
KEY = Pseudonymiser("a key of a test, of 32 bytes or more", 1)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def hostile_event(text: str, **changed: object) -> dict[str, object]:
    return {
        "event_id": text, "event_type": "order_placed", "order_id": text,
        "event_timestamp": "2026-03-01T00:00:00Z", "source_system": text,
        "data": {"patient": {"patient_id": text, "state": text}, "payer_id": text}, **changed,
    }  # fmt: skip


def test_fields_that_are_code_land_as_text_and_do_nothing(
    platform: Platform, tmp_path: Path
) -> None:
    good = [hostile_event(text) for text in HOSTILE.values()]
    bad = [hostile_event(text, event_type=text) for text in HOSTILE.values()]
    file = tmp_path / "it's; drop table.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in (*good, *bad)))
    summary = platform.ingest(file)
    assert summary["accepted"] == len(HOSTILE)
    assert summary["dead_letters"] == {"unknown_event_type": len(HOSTILE)}
    rows = platform.rows("select event_id, order_id, source_system from pbm_bronze.raw_orders")
    assert {row[0] for row in rows} == set(HOSTILE.values())
    assert all(row[0] == row[1] == row[2] for row in rows)
    shown = platform.pbm("dead-letters", "list").stdout
    for (message_id,) in platform.rows("select message_id from pbm_bronze.dead_letter_orders"):
        shown += platform.pbm("dead-letters", "show", message_id, "--payload").stdout
        break
    assert "\x1b]0;owned" not in shown
    assert "\x1b[2J" not in shown
    result = run_pbm("dead-letters", "show", HOSTILE["sql"], env=platform.env)
    assert result.returncode == 3
    for line in (platform.home / "logs" / "pbm.log").read_text().splitlines():
        assert json.loads(line).get("message") != "forged"


def test_a_log_line_is_one_line_without_what_an_exception_says() -> None:
    try:
        raise ValueError(HOSTILE["log"])  # noqa: TRY301
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "f", 1, "failed: %s", (HOSTILE["log"],), sys.exc_info()
        )
    record.event_id = HOSTILE["log"]
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["exception"] == "ValueError"
    assert json.loads(line)["level"] == "error"


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 9_500_000,
        b'{"a":' * 1_900_000,
        b'{"event_id": "' + b"x" * 9_500_000 + b'"}',
        b"[" + b"9" * 9_000_000 + b"]",
        b'{"a": [' + b"1," * 1_000_000 + b"1]}",
        b'{"a": "' + b"\\u0061" * 1_500_000 + b'"}',
        b'"' + b"\\" * 9_500_001,
        b" " * 9_500_000,
        b"\xff" * 9_500_000,
    ],
    ids=["brackets", "objects", "long id", "digits", "numbers", "escapes", "slashes", "blanks",
         "bytes"],
)  # fmt: skip
def test_the_largest_message_costs_bounded_memory_and_time(data: bytes) -> None:
    """Pub/Sub takes 10 MB; memory stays below 16 times that, whatever it is made of."""
    tracemalloc.start()
    began = time.process_time()
    result = check_message(Message("m", data, {}, NOW), KEY)
    seconds = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(result, DeadLetter)
    assert peak < 160_000_000
    assert seconds < 20, "tracing memory makes it several times as slow as it is"


def test_a_secret_is_in_no_error_and_no_text_of_the_settings(platform: Platform) -> None:
    secret = "not-32-bytes-Tr0ub4dor"
    settings = Settings(
        pseudonym_key=SecretStr(secret),
        suppression_key=SecretStr(secret),
        postgres_dsn=SecretStr(f"postgresql://u:{secret}@h/d"),
    )
    assert secret not in repr(settings) + str(settings) + settings.model_dump_json()
    for variable, value, command in (
        ("PBM_PSEUDONYM_KEY", secret, ("pseudonyms", "rotate")),
        ("PBM_POSTGRES_DSN", f"postgresql://u:{secret}@127.0.0.1:1/d", ("dead-letters", "list")),
        ("PBM_PSEUDONYM_KEY_VERSION", secret, ("status",)),
    ):
        env = {**platform.env, variable: value}
        done = run_pbm(*command, "--verbose", env=env)
        assert done.returncode in {4, 5}, done.stderr
        assert secret not in done.stdout + done.stderr, variable
    log = platform.home / "logs" / "pbm.log"
    assert not log.exists() or secret not in log.read_text()


def test_the_check_holds_whatever_it_is_given() -> None:
    """Two seconds of what `python -m tests.ingestion.fuzz --seconds 600` does for longer."""
    counts = Counter(fuzz.outcomes(2, seed=7))
    assert counts.total() > 1000
    assert {"accepted", "not_json", "not_utf8", "missing_field", "unsupported_text"} <= set(counts)


def test_every_package_is_under_the_rules_of_bandit() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ruff"), "check", "--isolated", "--select", "S",
         "--ignore", "S101,S404,S603,S607", "--output-format", "concise", "pbm", "ingestion"],
        capture_output=True, text=True, check=False, cwd=PROJECT_ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    settings = (PROJECT_ROOT / "pyproject.toml").read_text()
    ignored = settings.split("[tool.ruff.lint.per-file-ignores]")[1].split("[")[0]
    ours = ("pbm", "ingestion", "orchestration", "dashboards")
    assert not [line for line in ignored.splitlines() if line.strip('"').startswith(ours)
                and '"S' in line], "no package of ours is excepted from S"  # fmt: skip
