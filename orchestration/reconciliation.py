"""The task `reconcile`: what was published is in silver, and nothing else has gone astray."""

from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

from orchestration import arrivals
from orchestration.arrivals import Published
from orchestration.pbm_command import PbmCommand
from pbm.settings import load_settings


class Reconcile(BaseOperator):
    """Compare what was published with bronze, dead letters and silver; fail when they differ.

    Here ``pbm reconcile`` compares everything that was ever published too. On Google Cloud the
    stream goes on meanwhile, so it is what this run published.

    Args:
        published: Task that published, by what it returned; templated.
    """

    template_fields = ("published",)

    def __init__(self, *, published: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(**kwargs)
        self.published = published
        self._command: PbmCommand | None = None

    def execute(self, context: Any) -> dict[str, int]:  # noqa: ANN401, ARG002
        """Compare."""
        published = Published.of(self.published)
        arrived = arrivals.count(published, with_silver=True)
        problem = arrived.missing(published)
        if problem is None and arrived.built != published.events:
            problem = f"silver holds {arrived.built:,} of the {published.events:,} events published"
        if problem is not None:
            raise AirflowException(
                f"What was published and what there is differ: {problem}. Nothing after silver "
                "was built; retry from `launch_dataflow_job` on."
            )
        if not load_settings().on_google_cloud:
            self._command = PbmCommand(["reconcile"], self.log.info)
            self._command.run()
        return {"events": arrived.built, "dead_letters": arrived.refused}

    def on_kill(self) -> None:
        """End the command with its task."""
        if self._command is not None:
            self._command.end()
