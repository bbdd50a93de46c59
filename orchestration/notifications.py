"""Telling people: a Slack-compatible webhook, e-mail, or the log where neither is configured.

Which one is a matter of Airflow's connections: ``pbm_slack`` (type ``slackwebhook``) and
``pbm_smtp`` (type ``smtp``; its extra field ``to`` lists the recipients). Messages name orders and
numbers, and nothing of a patient.
"""

import html
import logging
from collections.abc import Sequence
from typing import Any, Final, Protocol

log = logging.getLogger(__name__)

SLACK: Final = "pbm_slack"
MAIL: Final = "pbm_smtp"


class Notifier(Protocol):
    """A way to tell people."""

    def send(self, subject: str, lines: Sequence[str]) -> None:
        """Send a message of a subject and some lines of plain text."""


class SlackNotifier:
    """A webhook that takes Slack's messages, by Airflow's Slack provider."""

    def send(self, subject: str, lines: Sequence[str]) -> None:
        """Post it."""
        from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

        hook = SlackWebhookHook(slack_webhook_conn_id=SLACK)
        hook.send_text("\n".join([f"*{subject}*", *lines]))


class MailNotifier:
    """E-mail, by Airflow's SMTP provider.

    Args:
        recipients: Addresses.
    """

    def __init__(self, recipients: Sequence[str]) -> None:
        self._recipients = list(recipients)

    def send(self, subject: str, lines: Sequence[str]) -> None:
        """Mail it."""
        from airflow.providers.smtp.hooks.smtp import SmtpHook

        body = "<br>\n".join(html.escape(line) for line in lines)
        with SmtpHook(smtp_conn_id=MAIL) as hook:
            hook.send_email_smtp(to=self._recipients, subject=subject, html_content=body)


class LogNotifier:
    """The task's log."""

    def send(self, subject: str, lines: Sequence[str]) -> None:
        """Log it."""
        log.warning("%s: %s", subject, " · ".join(lines))


def notifiers() -> list[Notifier]:
    """The ways that are configured; the log if none is."""
    found: list[Notifier] = []
    if _connection(SLACK) is not None:
        found.append(SlackNotifier())
    mail = _connection(MAIL)
    if mail is not None:
        recipients = mail.extra_dejson.get("to") or []
        found.append(MailNotifier([recipients] if isinstance(recipients, str) else recipients))
    return found or [LogNotifier()]


def notify(subject: str, lines: Sequence[str]) -> None:
    """Tell people in every way that is configured."""
    for notifier in notifiers():
        notifier.send(subject, lines)


def deadline_missed(*, pipeline: str, allowed: str, **_: Any) -> None:  # noqa: ANN401
    """What a deadline alert calls: a run has not ended in time."""
    notify(f"{pipeline} is late", [f"A run has not ended {allowed} after it was due."])


def _connection(conn_id: str) -> Any:  # noqa: ANN401  Airflow's Connection or none
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return Connection.get(conn_id)
    except AirflowNotFoundException:
        return None
