"""Terraform's files, as far as they can be checked without Google Cloud."""

import json
import re
import shutil
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from ingestion import contract
from tests.conftest import PROJECT_ROOT
from tests.infra import access_table
from tests.infra.hcl import (
    FILES,
    TERRAFORM,
    Resource,
    argument_names,
    locals_of,
    parsed,
    provider_arguments,
    resources,
    variables,
)

META = {"count", "for_each", "provider", "depends_on", "lifecycle"}
IN_LIFECYCLE = {"prevent_destroy", "ignore_changes"}

ON_THE_PROJECT = {
    "roles/dataflow.worker", "roles/dataflow.developer", "roles/composer.worker",
    "roles/bigquery.jobUser", "roles/cloudsql.client", "roles/cloudsql.instanceUser",
    "roles/logging.logWriter", "roles/bigquery.user", "roles/bigquery.resourceViewer",
}  # fmt: skip
"""Roles that nothing smaller than a project can carry: Google has no policy on what they act on."""

WORKLOADS = {"publisher", "dataflow", "composer", "dbt", "dashboard", "looker", "ci", "privacy"}


def of_type(*types: str) -> list[Resource]:
    found = [one for one in resources() if one.type in types]
    assert found, f"there is no {' or '.join(types)}"
    return found


def members() -> list[Resource]:
    found = [one for one in resources() if one.type.endswith("_iam_member")]
    assert len(found) > 40
    return found


# -------------------------------------------------------------------------------- form


def test_terraform_is_in_its_standard_form() -> None:
    """By Terraform itself where it is installed, and by rules of it that need no Terraform."""
    if shutil.which("terraform"):
        done = subprocess.run(
            ["terraform", "fmt", "-check", "-recursive", "-diff", str(TERRAFORM)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    for file in FILES:
        text = file.read_text()
        assert text.endswith("}\n"), file
        assert "\t" not in text, file
        for line in text.splitlines():
            assert line == line.rstrip(), file
            assert (len(line) - len(line.lstrip())) % 2 == 0, f"{file}: {line}"


def test_every_argument_is_one_that_googles_provider_has() -> None:
    """Held against an extract of the providers' own schemas; see docs/decisions.md."""
    known = provider_arguments()
    wrong = []
    for one in resources():
        schema = known[one.type if one.kind == "resource" else f"data.{one.type}"]
        names = set(argument_names(one.body)) - META - IN_LIFECYCLE
        wrong += [f"{one.place}: {name} is unknown" for name in names - set(schema["arguments"])]
        given = set(one.body) | {name for block in one.body.get("dynamic", []) for name in block}
        wrong += [f"{one.place}: {name} is missing" for name in set(schema["required"]) - given]
    assert wrong == []


def test_every_module_gets_what_it_asks_for_and_gives_what_is_asked_of_it() -> None:
    wrong = []
    for file in FILES:
        for block in parsed(file).get("module", []):
            for name, body in block.items():
                folder = (file.parent / body["source"].strip('"')).resolve()
                wanted = variables(folder / "variables.tf")
                given = set(body) - {"source", "count", "depends_on", "providers", "__is_block__"}
                required = {one for one, about in wanted.items() if "default" not in about}
                wrong += [f"{file}: {name} gets {one}" for one in given - set(wanted)]
                wrong += [f"{file}: {name} lacks {one}" for one in required - given]
                outputs = folder / "outputs.tf"
                gives = {o.strip('"') for out in parsed(outputs).get("output", []) for o in out}
                asked = set(
                    re.findall(
                        rf"module\.{name.strip(chr(34))}(?:\[\*\])?\.(\w+)",
                        "".join(f.read_text() for f in file.parent.glob("*.tf")),
                    )
                )
                wrong += [f"{file}: {name} gives no {one}" for one in asked - gives]
    assert wrong == []


def test_every_variable_is_used_and_described() -> None:
    for file in FILES:
        text = "".join(one.read_text() for one in file.parent.glob("*.tf"))
        for name, about in variables(file).items():
            assert f"var.{name}" in text, f"{file}: {name}"
            assert about["description"], f"{file}: {name}"
            assert about["type"], f"{file}: {name}"
        known = {n for one in file.parent.glob("*.tf") for n in variables(one)}
        assert set(re.findall(r"\bvar\.(\w+)", file.read_text())) <= known, file


def test_both_environments_have_the_same_settings() -> None:
    staging, production = (TERRAFORM / "environments" / one for one in ("staging", "production"))
    for name in ("variables.tf", "outputs.tf", "versions.tf"):
        assert (staging / name).read_text() == (production / name).read_text()
    for folder in (staging, production):
        example = (folder / "terraform.tfvars.example").read_text()
        said = set(re.findall(r"^#? ?(\w+) += ", example, flags=re.MULTILINE))
        assert said == set(variables(folder / "variables.tf")), folder


# -------------------------------------------------------------------------- least privilege


def test_each_workload_has_an_account_of_its_own_and_no_key() -> None:
    accounts = locals_of(TERRAFORM / "modules" / "identities" / "main.tf")["workloads"]
    assert set(accounts) - {"__is_block__"} == WORKLOADS
    assert not [one for one in resources() if one.type == "google_service_account_key"]


def test_a_role_is_bound_to_a_resource_with_its_reason() -> None:
    for one in members():
        assert one.why, f"{one.place} has no comment `# why: …`"
        role = one.body["role"]
        assert role not in {"roles/owner", "roles/editor", "roles/viewer"}, one.place
        assert not re.search(r"roles/[a-z]+\.admin$|roles/iam\.(?!serviceAccount)", role), one.place
        if one.type == "google_project_iam_member":
            assert role in ON_THE_PROJECT, f"{one.place}: bind {role} to a resource"
        assert not re.search(r"allUsers|allAuthenticatedUsers|domain:", one.body["member"])
    everywhere = {"google_project_iam_binding", "google_project_iam_policy"}
    whole = [one for one in resources() if one.type.endswith(("_iam_binding", "_iam_policy"))]
    assert whole == [], f"authoritative policies such as {everywhere} remove others' members"
    cloud_sql = [one for one in members() if one.body["role"].startswith("roles/cloudsql.")]
    assert all("instances/pbmpostgre" in str(one.body["condition"]) for one in cloud_sql)


def test_the_dashboard_and_looker_reach_no_message_as_received() -> None:
    datasets: dict[str, set[str]] = {}
    for one in of_type("google_bigquery_dataset_iam_member"):
        at = re.findall(r"pbm_\w+", str(one.body.get("for_each", "")) + one.body["dataset_id"])
        who = re.findall(r"var\.members\.(\w+)", one.body["member"])[0]
        if "is_synthetic" in str(one.body.get("for_each")):
            continue
        datasets.setdefault(who, set()).update(at)
    assert datasets["dashboard"] == {"pbm_gold", "pbm_serving", "pbm_speed"}
    assert datasets["looker"] == {"pbm_gold"}
    assert {who for who, at in datasets.items() if "pbm_bronze" in at} == {
        "dataflow", "dbt", "privacy",
    }  # fmt: skip
    raw = {
        one.body["member"]: str(one.body["for_each"])
        for one in of_type("google_data_catalog_policy_tag_iam_member")
        if "is_synthetic" not in str(one.body["for_each"])
    }
    production = TERRAFORM / "environments" / "production" / "main.tf"
    assert "is_synthetic" not in production.read_text()
    platform = variables(TERRAFORM / "modules" / "platform" / "variables.tf")
    assert platform["is_synthetic"]["default"] is False
    readers_of_all = {who for who, tags in raw.items() if "policy_tag.class" in tags}
    assert readers_of_all == {f"${{var.members.{who}}}" for who in ("dbt", "dataflow", "privacy")}
    assert "direct" not in raw["${var.members.dashboard}"]


def test_the_table_of_who_may_do_what_is_as_the_code_says() -> None:
    assert access_table.PATH.read_text() == access_table.written(access_table.PATH.read_text()), (
        "run `make generate`"
    )


# ------------------------------------------------------------------------ network, encryption


def test_nothing_has_a_public_address() -> None:
    (sql,) = of_type("google_sql_database_instance")
    (ip,) = sql.body["settings"][0]["ip_configuration"]
    assert ip["ipv4_enabled"] is False
    assert ip["private_network"] == "${var.network_id}"
    (airflow,) = of_type("google_composer_environment")
    assert airflow.body["config"][0]["enable_private_environment"] is True
    (address,) = of_type("google_compute_global_address")
    assert address.body["address_type"] == "INTERNAL"
    for bucket in of_type("google_storage_bucket"):
        assert bucket.body["public_access_prevention"] == "enforced"
        assert bucket.body["uniform_bucket_level_access"] is True
    (subnetwork,) = of_type("google_compute_subnetwork")
    assert subnetwork.body["private_ip_google_access"] is True
    text = "".join(file.read_text() for file in FILES)
    assert not re.search(
        r"0\.0\.0\.0/0|::/0|access_config|google_compute_(address|router_nat)", text
    )
    for rule in of_type("google_compute_firewall"):
        assert rule.body["source_tags"], rule.place
        assert rule.body["target_tags"], rule.place


def test_the_dashboard_is_behind_identity_aware_proxy() -> None:
    (service,) = of_type("google_cloud_run_v2_service")
    assert service.body["iap_enabled"] is True
    assert service.body["invoker_iam_disabled"] is False
    invokers = [
        one for one in of_type("google_cloud_run_v2_service_iam_member")
        if one.body["role"] == "roles/run.invoker"
    ]  # fmt: skip
    assert ["gcp-sa-iap" in one.body["member"] for one in invokers] == [True]


def test_everything_that_stores_is_encrypted_with_a_key_of_ours() -> None:
    wanted = {
        "google_storage_bucket": "default_kms_key_name",
        "google_bigquery_dataset": "kms_key_name",
        "google_bigquery_table": "kms_key_name",
        "google_pubsub_topic": "kms_key_name",
        "google_sql_database_instance": "encryption_key_name",
        "google_secret_manager_secret": "kms_key_name",
        "google_composer_environment": "kms_key_name",
        "google_artifact_registry_repository": "kms_key_name",
        "google_cloud_run_v2_service": "encryption_key",
    }
    for kind, argument in wanted.items():
        for one in of_type(kind):
            assert argument in set(argument_names(one.body)), f"{one.place} has no {argument}"
    (key,) = of_type("google_kms_crypto_key")
    assert int(key.body["rotation_period"].removesuffix("s")) <= 90 * 86_400
    assert key.body["lifecycle"][0]["prevent_destroy"] is True


def test_the_survey_database_asks_for_iam_and_tls_and_can_go_back_in_time() -> None:
    (sql,) = of_type("google_sql_database_instance")
    assert sql.body["name"] == "pbmpostgre"
    assert sql.body["deletion_protection"] is True
    (settings,) = sql.body["settings"]
    assert settings["ip_configuration"][0]["ssl_mode"] == "ENCRYPTED_ONLY"
    backup = settings["backup_configuration"][0]
    assert backup["enabled"] is True
    assert backup["point_in_time_recovery_enabled"] is True
    flags = {flag["name"]: flag["value"] for flag in settings["database_flags"]}
    assert flags["cloudsql.iam_authentication"] == "on"
    assert flags["log_min_error_statement"] == "panic", "a failing statement may hold identifiers"
    for user in of_type("google_sql_user"):
        assert user.body["type"] == "CLOUD_IAM_SERVICE_ACCOUNT"
        assert "password" not in user.body


def test_no_secret_is_in_the_code_or_gets_into_the_state() -> None:
    kinds = {one.type for one in resources()}
    assert "google_secret_manager_secret" in kinds
    assert "google_secret_manager_secret_version" not in kinds, "its value would be in the state"
    words = {name for one in resources() for name in argument_names(one.body)}
    assert not words & {"password", "secret_data", "private_key", "credential", "token"}
    text = "".join(file.read_text() for file in FILES)
    assert not re.search(r"AIza[0-9A-Za-z_-]{30}|-----BEGIN|ya29\.", text)


# ------------------------------------------------------------------------------- the contract


def test_tables_and_topic_schema_come_from_the_contract() -> None:
    (table,) = of_type("google_bigquery_table")
    source = table.file.read_text()
    assert 'file("${path.module}/../../../contract/bronze_bigquery.json")' in source
    assert 'file("${path.module}/../../../privacy/bigquery.json")' in source
    assert table.body["deletion_protection"] is True
    (schema,) = of_type("google_pubsub_schema")
    assert 'file("${path.module}/../../../contract/order_event.proto")' in schema.file.read_text()
    for reference in re.findall(r'\$\{path\.module\}/([^"$]+)"', source + schema.file.read_text()):
        assert (table.file.parent / reference).resolve().exists(), reference
    text = (contract.FOLDER / "bronze_bigquery.json").read_text()
    assert text == contract.bigquery_tables()
    tables = json.loads(text)
    classes = json.loads((PROJECT_ROOT / "infra" / "privacy" / "bigquery.json").read_text())
    for name, about in tables.items():
        columns = {column["name"] for column in about["schema"]}
        assert set(classes["columns"].get(name, {})) <= columns, name
        assert {about["partitioned_by"], *about["clustering"]} <= columns, name
    assert classes["columns"]["pbm_bronze.raw_orders"]["payload"] == "direct_identifier"
    (kept,) = [v for k, v in variables(TERRAFORM / "modules/platform/variables.tf").items()
               if k == "days_kept"]  # fmt: skip
    assert set(kept["default"]) - {"__is_block__"} == set(tables)


def test_topic_subscription_and_datasets_have_the_names_that_the_code_uses() -> None:
    from pbm.settings import Settings

    settings = Settings.model_fields
    topics = {one.body["name"] for one in of_type("google_pubsub_topic")}
    subscriptions = {one.body["name"] for one in of_type("google_pubsub_subscription")}
    assert settings["orders_topic"].default in topics
    assert settings["orders_subscription"].default in subscriptions
    datasets = locals_of(TERRAFORM / "modules" / "warehouse" / "main.tf")["datasets"]
    migrations = "".join(
        path.read_text() for path in (PROJECT_ROOT / "pbm" / "migrations").glob("*.sql")
    )
    made = set(re.findall(r"create schema if not exists (pbm_\w+)", migrations))
    # pbm.warehouse makes the schema in which the migrations themselves are noted
    assert set(datasets) - {"__is_block__"} == made | {"pbm_ops"}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    alerts = locals_of(TERRAFORM / "modules" / "monitoring" / "main.tf")["alerts"]
    names = set(alerts) - {"__is_block__"}
    pages = {page.stem: page.read_text() for page in (PROJECT_ROOT / "docs/runbooks").glob("*.md")}
    assert set(pages) == names | {"budget"}
    for name, page in pages.items():
        for heading in ("## What it means", "## How to see", "## What to do"):
            assert heading in page, f"{name} has no {heading}"
    policies: Any = of_type("google_monitoring_alert_policy")[0].body
    assert "docs/runbooks/${each.key}.md" in policies["documentation"][0]["content"]
    metrics = set(
        chain.from_iterable(
            re.findall(r'metric\.type = "([^"]+)"', alert["filter"])
            for name, alert in alerts.items()
            if name in names
        )
    )
    assert all("googleapis.com/" in metric for metric in metrics)
    assert len(metrics) == len(names)


@pytest.mark.parametrize("folder", sorted({file.parent for file in FILES}), ids=lambda f: f.name)
def test_every_folder_pins_terraform_and_its_providers(folder: Path) -> None:
    text = (folder / "versions.tf").read_text()
    assert re.search(r'required_version = "~> [0-9.]+"', text)
    versions = re.findall(r'version = "([^"]+)"', text)
    assert versions
    assert all(re.fullmatch(r"~> [0-9.]+", one) for one in versions)
