"""What `pbm_maintenance` is made of: dbt's other commands, reports, and what is thrown away."""

import logging
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from cosmos import settings as cosmos_settings

from orchestration.dbt_project import DbtProject
from orchestration.notifications import notify
from orchestration.transformations import profile
from orchestration.warehouse import Warehouse
from pbm.settings import load_settings

log = logging.getLogger(__name__)

KEPT: Final = timedelta(days=90)
"""How long logs are kept. The warehouse keeps everything: bronze is the record."""

_SHOWN: Final = 20

DEAD_LETTERS: Final = """
select
    error_type,
    count(*) as dead_letters,
    sum(case when replay_count = 0 then 1 else 0 end) as not_replayed
from pbm_bronze.dead_letter_orders
group by error_type
order by error_type
"""

ALERTS: Final = """
select order_id, severity, alert_type, overdue_hours
from pbm_gold.order_alerts
where severity <> 'warning'
order by overdue_hours desc, order_id
"""


def dbt_arguments(project: DbtProject) -> dict[str, Any]:
    """What every dbt operator outside a task group is given."""
    return {
        "project_dir": str(project.folder),
        "profile_config": profile(project),
        "install_deps": False,
        "should_store_compiled_sql": False,
        "emit_datasets": False,
        "cache_dir": Path(cosmos_settings.cache_dir) / "pbm_maintenance",
    }


def report_dead_letters() -> dict[str, int]:
    """Tell people how many messages were refused and wait to be replayed, by reason."""
    found = Warehouse().rows(DEAD_LETTERS)
    waiting = {str(reason): int(number) for reason, _, number in found if number}
    if waiting:
        lines = [f"{reason}: {count:,}" for reason, count in waiting.items()]
        subject = f"{sum(waiting.values()):,} dead letters were not replayed"
        notify(subject, [*lines, "See `pbm dead-letters list`."])
    else:
        log.info("Every dead letter was replayed, or there is none.")
    return {str(reason): int(count) for reason, count, _ in found}


def send_order_alerts() -> int:
    """Tell people of the orders that are in trouble; return how many."""
    found = Warehouse().rows(ALERTS)
    if not found:
        log.info("No order is past its time.")
        return 0
    lines = [
        f"{order_id}: {alert_type}, {severity}"
        + ("" if hours is None else f", {float(hours):,.0f} h over")
        for order_id, severity, alert_type, hours in found[:_SHOWN]
    ]
    if len(found) > _SHOWN:
        lines.append(f"and {len(found) - _SHOWN:,} more: see pbm_gold.order_alerts.")
    notify(f"{len(found):,} orders need somebody", lines)
    return len(found)


def keep_docs(folder: str, **_: Any) -> None:  # noqa: ANN401
    """Keep the docs site that dbt made in ``folder``, in ``PBM_HOME``."""
    page = load_settings().home / "docs" / "static_index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(folder) / "target" / "static_index.html", page)
    log.info("The docs are in %s.", page)


def throw_away_old_logs() -> int:
    """Delete log files that are older than ``KEPT``, where logs are files; return how many."""
    settings = load_settings()
    if settings.on_google_cloud:
        log.info("Logs lie in a bucket, whose lifecycle rule deletes them.")
        return 0
    before = time.time() - KEPT.total_seconds()
    removed = 0
    for path in _logs(settings.home):
        if path.stat().st_mtime < before:
            path.unlink(missing_ok=True)
            removed += 1
    log.info("Removed %s log files older than %s days.", f"{removed:,}", KEPT.days)
    return removed


def _logs(home: Path) -> Iterator[Path]:
    for folder in (home / "logs", home / "airflow" / "logs"):
        yield from (path for path in folder.rglob("*.log*") if path.is_file())
