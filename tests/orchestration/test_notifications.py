"""People are told by the connections that are there: a webhook, a mail server, or the log."""

import json
import logging
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from orchestration.notifications import deadline_missed, notifiers, notify


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address: Any = server.server_address
        yield address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PBM_SLACK", "PBM_SMTP"):
        monkeypatch.delenv(f"AIRFLOW_CONN_{name}", raising=False)


def test_a_webhook_gets_slacks_message(monkeypatch: pytest.MonkeyPatch) -> None:
    posted: list[dict[str, Any]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            posted.append(json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

    with serving(HTTPServer(("127.0.0.1", 0), Webhook)) as port:
        connection = {
            "conn_type": "slackwebhook",
            "host": f"http://127.0.0.1:{port}/services",
            "password": "T/B/X",
        }
        monkeypatch.setenv("AIRFLOW_CONN_PBM_SLACK", json.dumps(connection))
        notify("2 orders need somebody", ["ORD-1: overdue", "ORD-2: past_promise"])
    assert [one["text"] for one in posted] == [
        "*2 orders need somebody*\nORD-1: overdue\nORD-2: past_promise"
    ]


def test_a_mail_server_gets_a_mail_to_all_recipients(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    class MailServer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            in_data = False
            for line in self.rfile:
                said.append(line.decode().strip())
                if in_data:
                    in_data = line != b".\r\n"
                    if not in_data:
                        self.wfile.write(b"250 taken\r\n")
                    continue
                word = line[:4].upper().strip()
                in_data = word == b"DATA"
                self.wfile.write(b"354 go on\r\n" if in_data else b"250 well\r\n")
                if word == b"QUIT":
                    return

    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailServer)) as port:
        extra = {
            "disable_ssl": True,
            "disable_tls": True,
            "from_email": "platform@example.org",
            "to": ["one@example.org", "two@example.org"],
        }
        connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_PBM_SMTP", json.dumps(connection))
        deadline_missed(pipeline="pbm_maintenance", allowed="3:00:00")
    recipients = [line for line in said if line.lower().startswith("rcpt to:")]
    assert recipients == ["rcpt TO:<one@example.org>", "rcpt TO:<two@example.org>"]
    assert "Subject: pbm_maintenance is late" in said


def test_the_log_is_told_where_nothing_is_configured(caplog: pytest.LogCaptureFixture) -> None:
    assert [type(one).__name__ for one in notifiers()] == ["LogNotifier"]
    with caplog.at_level(logging.WARNING):
        notify("3 dead letters were not replayed", ["not_json: 3"])
    assert "3 dead letters were not replayed: not_json: 3" in caplog.text
