"""The tables of docs/security.md: who may do what, and why, from Terraform and the roles.

    python -m tests.infra.access_table

writes them anew; a test fails when they are stale.
"""

import re
from collections.abc import Iterator

from pbm import privacy
from tests.conftest import PROJECT_ROOT
from tests.infra.hcl import TERRAFORM, Resource, locals_of, resources

PATH = PROJECT_ROOT / "docs" / "security.md"

_WHERE = {
    "google_project_iam_member": "the project",
    "google_pubsub_topic_iam_member": "topic",
    "google_pubsub_subscription_iam_member": "subscription",
    "google_bigquery_dataset_iam_member": "dataset",
    "google_bigquery_connection_iam_member": "connection",
    "google_bigquery_datapolicy_data_policy_iam_member": "masking policy",
    "google_data_catalog_policy_tag_iam_member": "policy tag",
    "google_storage_bucket_iam_member": "bucket",
    "google_secret_manager_secret_iam_member": "secret",
    "google_kms_crypto_key_iam_member": "key",
    "google_compute_subnetwork_iam_member": "subnetwork",
    "google_service_account_iam_member": "account",
    "google_artifact_registry_repository_iam_member": "image repository",
    "google_cloud_run_v2_service_iam_member": "service",
    "google_iap_web_cloud_run_service_iam_member": "service behind the proxy",
}
_TARGET = (
    "topic", "subscription", "dataset_id", "connection_id", "data_policy_id", "policy_tag",
    "bucket", "secret_id", "crypto_key_id", "subnetwork", "service_account_id", "repository",
    "cloud_run_service_name", "name",
)  # fmt: skip


def written(text: str) -> str:
    """The page with its tables as the code says."""
    for name, lines in (("cloud", _cloud()), ("postgres", _postgres())):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{after}"
    return text


def _cloud() -> Iterator[str]:
    yield "| who | may | on | why |"
    yield "|---|---|---|---|"
    rows = [
        (_who(one), one.body["role"], _on(one), one.why)
        for one in resources()
        if one.type.endswith("_iam_member")
    ]
    for who, role, on, why in sorted(rows):
        yield f"| {who} | `{role}` | {on} | {why} |"


def _who(one: Resource) -> str:
    member = one.body["member"]
    workload = re.search(r"var\.members\.(\w+)", member)
    if workload:
        return f"**{workload[1]}**"
    if "viewers" in one.name:
        return "groups of viewers"
    return "Google's own agent"


def _on(one: Resource) -> str:
    where = _WHERE[one.type]
    if where == "the project":
        return "the project, `pbmpostgre` only" if "condition" in one.body else where
    target = next(str(one.body[name]) for name in _TARGET if name in one.body)
    each = one.body.get("for_each", "")
    listed = re.findall(r'"(\w+)"', str(each))
    if listed:
        names = ", ".join(f"`{name}`" for name in listed)
    elif one.body.get("for_each"):
        names = "each of the platform's"
    else:
        found = re.search(r'\["([\w-]+)"\]|account_names\.(\w+)|_\w+\.(\w+)\.\w+', target)
        names = f"`{next(filter(None, found.groups())) if found else target}`"
    return f"{where} {names}"


def _postgres() -> Iterator[str]:
    yield "| role | for | reads | writes | why |"
    yield "|---|---|---|---|---|"
    for name, role in privacy.read_roles().roles.items():
        reads = [f"`{at}` up to {kind}" for at, kind in {**role.sources, **role.models}.items()]
        reads += [f"`{schema}`, which it owns" for schema in role.owns]
        writes = [f"`{at}`: {', '.join(what)}" for at, what in role.writes.items()]
        if role.changes_models:
            writes.append(f"what dbt made: {', '.join(role.changes_models)}")
        yield (
            f"| `{name}` | {role.workload}: {role.who} | {'; '.join(reads)} "
            f"| {'; '.join(writes) or 'nothing'} | {role.why} |"
        )


def workloads() -> dict[str, str]:
    """The accounts and what each is for."""
    found = locals_of(TERRAFORM / "modules" / "identities" / "main.tf")["workloads"]
    return {name: what for name, what in found.items() if name != "__is_block__"}


if __name__ == "__main__":
    PATH.write_text(written(PATH.read_text()))
