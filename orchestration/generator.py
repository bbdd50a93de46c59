"""How the pipelines call the generators: the same run always publishes the same."""

from typing import Final

from pbm.settings import load_settings

_MOMENT: Final = "(dag_run.logical_date or dag_run.run_after)"
# The window ends with the day before the run, so that no event lies ahead of its message.
_DAYS: Final = 14
_START: Final = f"{{{{ ({_MOMENT} - macros.timedelta(days={_DAYS})).strftime('%Y-%m-%d') }}}}"
_SEED: Final = f"{{{{ params.seed if params.seed is not none else {_MOMENT}.timestamp() | int }}}}"


def order_arguments() -> list[str]:
    """Arguments of ``pbm`` that publish the orders of a run, templated.

    The seed is the run's logical date, so that a retry publishes the same events again, and an
    event counts once. Some are sent twice, late, or broken, as real systems do.
    """
    return [
        *("generate", "orders", "--to", "pubsub"),
        *("--orders", "{{ params.orders }}", "--seed", _SEED),
        *("--start", _START, "--days", str(_DAYS)),
        *("--duplicates", "0.02", "--late", "0.01", "--malformed", "0.005", "--shuffle"),
    ]


def surveys_file() -> str:
    """Where a run keeps the answers that it has generated and not yet inserted, templated.

    ``PBM_HOME``, which all workers must share.
    """
    return f"{load_settings().home}/surveys-{{{{ {_MOMENT}.strftime('%Y%m%dT%H%M%S') }}}}.jsonl"


def survey_arguments() -> list[str]:
    """Arguments of ``pbm`` that generate the answers there are until a run's moment, templated.

    The seed is always the same: it gives an order the same answer, so that a run adds only those
    about what was delivered since.
    """
    return [
        *("generate", "surveys", "--to", surveys_file(), "--seed", "{{ params.seed }}"),
        *("--until", f"{{{{ {_MOMENT}.strftime('%Y-%m-%dT%H:%M:%S') }}}}"),
    ]
