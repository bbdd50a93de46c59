"""The address that opens Looker Studio on a mart."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pbm import looker
from pbm.errors import ConfigurationError, InputError
from pbm.settings import Settings
from tests.conftest import clean_environment, run_pbm


def settings(**values: Any) -> Settings:
    return Settings(google_cloud_project="my-project", **values)


def parameters(address: str) -> dict[str, str]:
    parts = urlsplit(address)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == looker.ADDRESS
    return {name: value for name, (value,) in parse_qs(parts.query, strict_parsing=True).items()}


def test_a_link_names_the_mart_of_the_settings_project() -> None:
    assert parameters(looker.link(settings())) == {
        "c.mode": "edit",
        "r.reportName": "Patient satisfaction daily",
        "ds.connector": "bigQuery",
        "ds.datasourceName": "patient_satisfaction_daily",
        "ds.type": "TABLE",
        "ds.projectId": "my-project",
        "ds.datasetId": "pbm_gold",
        "ds.tableId": "patient_satisfaction_daily",
        "ds.billingProjectId": "my-project",
    }


def test_a_link_follows_prefix_template_and_name() -> None:
    mine = settings(schema_prefix="alice", looker_template_report="0a1b-2c")
    found = parameters(looker.link(mine, "carrier_performance_daily", "Carriers & promises: 100 %"))
    assert found["c.reportId"] == "0a1b-2c"
    assert found["ds.datasetId"] == "alice_pbm_gold"
    assert found["ds.tableId"] == "carrier_performance_daily"
    assert found["r.reportName"] == "Carriers & promises: 100 %"


def test_a_mart_that_is_not_there_and_a_project_that_is_not_set_are_named() -> None:
    with pytest.raises(InputError, match="no table order_status_now") as caught:
        looker.link(settings(), "order_status_now")
    assert "patient_satisfaction_daily" in caught.value.hint
    with pytest.raises(ConfigurationError, match="GOOGLE_CLOUD_PROJECT is not set"):
        looker.link(Settings(google_cloud_project="pbm-local"))


def test_the_command_prints_the_link_and_nothing_else() -> None:
    env = clean_environment(GOOGLE_CLOUD_PROJECT="my-project", PBM_SCHEMA_PREFIX="bob")
    done = run_pbm("looker-link", "--mart", "daily_order_summary", env=env)
    assert done.returncode == 0, done.stderr
    found = parameters(done.stdout.strip())
    assert (found["ds.datasetId"], found["ds.tableId"]) == ("bob_pbm_gold", "daily_order_summary")
    refused = run_pbm("looker-link", env=clean_environment())
    assert refused.returncode == 5
