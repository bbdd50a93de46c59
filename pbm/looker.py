"""Links that open Looker Studio with a mart of BigQuery as its data source.

The address is that of Looker Studio's Linking API: parameters ``c.`` are about how it opens, ``r.``
about the report, and ``ds.`` about its one data source.
"""

from typing import Final
from urllib.parse import urlencode

from pbm.errors import ConfigurationError, InputError
from pbm.settings import PROJECT_ROOT, Settings

ADDRESS: Final = "https://lookerstudio.google.com/reporting/create"
DEFAULT_MART: Final = "patient_satisfaction_daily"
_EMULATORS_PROJECT: Final = "pbm-local"


def marts() -> list[str]:
    """The tables of gold, by name."""
    return sorted(path.stem for path in (PROJECT_ROOT / "models" / "gold").rglob("*.sql"))


def link(settings: Settings, mart: str = DEFAULT_MART, report_name: str | None = None) -> str:
    """The address of a new report on a mart.

    Args:
        settings: Names the Google Cloud project, the prefix of its datasets, and the template
            report, if there is one.
        mart: A table of gold.
        report_name: What the report is called; after the mart if None.

    Raises:
        InputError: There is no such mart.
        ConfigurationError: No Google Cloud project is set.
    """
    known = marts()
    if mart not in known:
        raise InputError(f"Gold has no table {mart}.", f"Name one of {', '.join(known)}.")
    project = settings.google_cloud_project
    if project == _EMULATORS_PROJECT:
        raise ConfigurationError(
            f"GOOGLE_CLOUD_PROJECT is not set: {project} is the emulator's, and has no BigQuery.",
            "Set GOOGLE_CLOUD_PROJECT to the project whose BigQuery holds gold.",
        )
    prefix = f"{settings.schema_prefix}_" if settings.schema_prefix else ""
    parameters = {
        "c.reportId": settings.looker_template_report,
        "c.mode": "edit",
        "r.reportName": report_name or mart.replace("_", " ").capitalize(),
        "ds.connector": "bigQuery",
        "ds.datasourceName": mart,
        "ds.type": "TABLE",
        "ds.projectId": project,
        "ds.datasetId": f"{prefix}pbm_gold",
        "ds.tableId": mart,
        "ds.billingProjectId": project,
    }
    return f"{ADDRESS}?{urlencode({name: value for name, value in parameters.items() if value})}"
