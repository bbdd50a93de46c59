"""Who sees what, what explains a metric, and how a page says how old it is: pure functions."""

import json
import re
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import access, metrics
from dashboards.freshness import Freshness, in_words
from dashboards.queries import Query, all_queries
from dashboards.tile_grid import PLACES
from dashboards.warehouse import in_schemas
from dashboards.words import next_step, share, short_key
from pbm.settings import Settings
from tests.conftest import PROJECT_ROOT

NOW = 1_800_000_000.0
OPEN = Settings(dashboard_sign_in="off")
OIDC = Settings(dashboard_sign_in="oidc")
PERSON = {"is_logged_in": True, "exp": NOW + 60}


@pytest.mark.parametrize(
    ("settings", "user", "state", "role"),
    [
        (OPEN, {}, "open", "operator"),
        (Settings(dbt_target="prod"), {}, "not_configured", None),
        (Settings(dbt_target="prod", dashboard_sign_in="oidc"), {}, "signed_out", None),
        (OIDC, {"is_logged_in": False}, "signed_out", None),
        (OIDC, {**PERSON, "roles": ["pbm-viewer"]}, "signed_in", "viewer"),
        (OIDC, {**PERSON, "roles": "pbm-operator"}, "signed_in", "operator"),
        (OIDC, {**PERSON, "roles": ["pbm-viewer", "pbm-operator"]}, "signed_in", "operator"),
        (OIDC, {**PERSON, "roles": ["admin"]}, "no_role", None),
        (OIDC, PERSON, "no_role", None),
        (OIDC, {**PERSON, "roles": ["pbm-operator"], "exp": NOW}, "expired", None),
        (OIDC, {**PERSON, "roles": ["pbm-operator"], "exp": None}, "expired", None),
        (OIDC, {"is_logged_in": True, "roles": ["pbm-operator"]}, "expired", None),
        (OIDC, {**PERSON, "roles": ["pbm-operator"], "exp": "never"}, "expired", None),
    ],
)
def test_access(settings: Settings, user: dict[str, Any], state: str, role: str | None) -> None:
    found = access.of(settings, user, NOW)
    assert (found.state, found.role) == (state, role)
    assert found.sees_orders is (role == "operator")


def test_data_export_is_off_and_nothing_is_told_to_others() -> None:
    config = tomllib.loads((PROJECT_ROOT / ".streamlit" / "config.toml").read_text())
    assert config["client"]["disableDataExport"] is True
    assert config["client"]["showErrorDetails"] == "none"
    assert config["browser"]["gatherUsageStats"] is False
    assert {"light", "dark"} <= set(config["theme"])


def test_every_metric_that_a_page_names_is_explained_by_dbt(tmp_path: Path) -> None:
    """Whatever `explained` is asked for has a block, and every block's four parts are read."""
    text = (PROJECT_ROOT / "models" / "docs" / "metrics.md").read_text()
    blocks = dict(re.findall(r"{% docs (\w+) %}\n(.*?)\n{% enddocs %}", text, re.DOTALL))
    manifest = tmp_path / "manifest.json"
    docs = {name: {"name": name, "block_contents": block} for name, block in blocks.items()}
    manifest.write_text(json.dumps({"docs": docs}))
    found = metrics.read(manifest)
    assert set(found) == {name.removeprefix("metric_") for name in blocks}
    sources = "\n".join(
        path.read_text() for path in (PROJECT_ROOT / "dashboards" / "app_pages").glob("*.py")
    )
    named = set(re.findall(r'explained\("(\w+)"\)', sources))
    assert len(named) > 8
    assert named - set(found) == set()
    assert {"placed_to_shipped", "placed_to_delivered", "orders_today"} <= set(found)
    help_text = found["on_time_rate"].help
    assert "ShipMatrix" in help_text
    assert "`carrier_performance_daily.on_time_rate`" in help_text


@pytest.mark.parametrize("text", [None, "no json", "{}", '{"docs": []}', '{"docs": {"a": 1}}'])
def test_without_a_manifest_there_is_no_metric(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "manifest.json"
    if text is not None:
        path.write_text(text)
    assert metrics.read(path) == {}


def test_queries_read_gold_and_serving_only() -> None:
    named = set()
    for query in all_queries():
        named |= set(re.findall(r"\b(pbm_\w+)\.\w+", query.sql))
        assert not re.search(r"\b(insert|update|delete|merge|drop|create)\b", query.sql)
    assert named == {"pbm_gold", "pbm_serving"}
    assert len(all_queries()) > 20


def test_a_query_says_what_it_binds() -> None:
    with pytest.raises(ValueError, match="b"):
        Query("wrong", "select @a", {"a": "text", "b": "text"})


def test_a_developers_prefix_goes_before_each_schema() -> None:
    sql = "select a from pbm_gold.b inner join pbm_serving.c on pbm_gold_d = 1"
    assert in_schemas(sql, "") == sql
    assert in_schemas(sql, "alice") == (
        "select a from alice_pbm_gold.b inner join alice_pbm_serving.c on pbm_gold_d = 1"
    )


MOMENT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def status(**changed: Any) -> Freshness:
    row: dict[str, Any] = {
        "observed_at": MOMENT,
        "last_published_at": MOMENT - timedelta(seconds=11),
        "last_ingested_at": MOMENT - timedelta(seconds=10),
        "last_built_event_at": MOMENT - timedelta(hours=3),
        "last_arriving_event_at": MOMENT - timedelta(minutes=1),
        "last_batch_at": MOMENT - timedelta(minutes=5),
        "waiting_count": 3,
        "recent_dead_letter_count": 0,
        "reconciled_hour_count": 24,
        "differing_hour_count": 0,
    }
    return Freshness.of({**row, **changed})


def test_the_strip_is_computed_from_its_row() -> None:
    now = status()
    assert (now.silence, now.lag, now.batch_age) == (10.0, 1.0, 300.0)
    assert now.as_of == MOMENT - timedelta(minutes=1)
    assert now.today == datetime(2026, 3, 1, tzinfo=UTC)
    assert not now.is_silent(10)
    assert now.is_silent(9)


def test_a_clock_that_is_ahead_does_not_move_the_page_into_the_future() -> None:
    ahead = status(last_arriving_event_at=MOMENT + timedelta(days=1))
    assert ahead.as_of == MOMENT - timedelta(seconds=11)


def test_an_empty_warehouse_is_never_silent() -> None:
    names = (
        "last_published_at",
        "last_ingested_at",
        "last_built_event_at",
        "last_arriving_event_at",
        "last_batch_at",
    )
    empty = status(**dict.fromkeys(names))
    assert empty.silence is None
    assert not empty.is_silent(1)
    assert empty.as_of == MOMENT


def test_within_a_minute_a_page_says_that_the_stream_has_stopped() -> None:
    """By default, with the time after which a strip asks again and the age of a shared answer."""
    from dashboards import page

    assert Settings().dashboard_quiet_seconds + page.STRIP_SECONDS + 2 < 60


@given(st.floats(min_value=0, max_value=1e8))
def test_a_duration_is_said_in_words(seconds: float) -> None:
    assert re.fullmatch(r"\d+(\.\d)? s|\d+ min \d+ s|\d+ h \d+ min|\d+ d \d+ h", in_words(seconds))


def test_words() -> None:
    assert in_words(None) == "—"
    assert in_words(3720) == "1 h 2 min"
    assert short_key("0123456789abcdef") == "01234567…"
    assert share(1, 0) is None
    assert share(1, 4) == 0.25
    # whoever has to act is told, for every kind of alert
    assert "prescriber" in next_step("overdue", "payer_or_prescriber", "placed_to_approved")
    assert "site" in next_step("overdue", "payer_or_prescriber", "approved_to_dispensed")


def test_every_state_has_a_tile_of_its_own() -> None:
    assert len(PLACES) == 52
    assert len(set(PLACES.values())) == 52


def test_the_command_says_what_to_do_without_a_stack(tmp_path: Path) -> None:
    from tests.conftest import PBM, clean_environment

    done = subprocess.run(
        [PBM, "live", "--help"],
        env=clean_environment(PBM_HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "--orders-per-day" in done.stdout
