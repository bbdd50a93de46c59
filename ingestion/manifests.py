"""Manifests: what each sending of generated orders held, to compare a warehouse with.

One sending is one JSON file: what the simulation says of itself, and where and when it was sent. A
sending to the topic is noted before its first message and completed after its last one, so that
one that was cut short is known to be so.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pbm.errors import InputError

PUBSUB: Final = "pubsub"

_SHA256_DIGITS: Final = 12
"""Of a file's hash, in the ids of its messages."""


@dataclass(frozen=True)
class Manifest:
    """What reconciliation needs of a manifest.

    Attributes:
        path: The manifest's file.
        namespace: The hash in every identifier of the generation.
        sent_to: ``pubsub``, ``-``, or a file.
        topic: Full name of the topic, where it was sent to one.
        is_complete: Whether the sending came to its end. One that did not has no counts.
        sha256: Of all messages, each with a line feed after it.
        messages: Messages sent.
        events: Distinct events among them.
        duplicates: Messages that repeat an event.
        malformed_by_error_type: Messages that ingestion must refuse, by the reason.
    """

    path: Path
    namespace: str
    sent_to: str
    topic: str | None
    is_complete: bool
    sha256: str = ""
    messages: int = 0
    events: int = 0
    duplicates: int = 0
    malformed_by_error_type: Mapping[str, int] | None = None

    @property
    def is_published(self) -> bool:
        """Whether it was sent to a topic, rather than a file."""
        return self.sent_to == PUBSUB

    @property
    def origin(self) -> str:
        """What tells its messages from any other's: see ``reconcile.QUERIES``."""
        return f"EV-{self.namespace}" if self.is_published else self.file_source

    @property
    def file_source(self) -> str:
        """The name that ingestion gives a file of these messages."""
        return f"file-{self.sha256[:_SHA256_DIGITS]}"


class Sending:
    """The manifest of one sending, while it goes on.

    Args:
        path: Where to write it; a file of its own in ``folder`` if None.
        folder: Where manifests are kept.
        namespace: The hash in every identifier of the generation.
        sent_to: ``pubsub``, ``-``, or a file.
        topic: Full name of the topic, where it is sent to one.
    """

    def __init__(
        self, path: Path | None, folder: Path, *, namespace: str, sent_to: str, topic: str | None
    ) -> None:
        self._started_at = datetime.now(UTC)
        name = f"{self._started_at:%Y%m%dT%H%M%S.%fZ}-{namespace}.json"
        self.path = path or folder / name
        self._about = {
            "sent_to": sent_to if sent_to in {PUBSUB, "-"} else str(Path(sent_to).absolute()),
            "topic": topic,
            "started_at": self._started_at.isoformat(),
        }
        self._namespace = namespace

    def begin(self) -> None:
        """Note that messages may be on their way."""
        self._write({"namespace": self._namespace, **self._about, "finished_at": None})

    def finish(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """Note what was sent, and return all of the manifest."""
        manifest = {**summary, **self._about, "finished_at": datetime.now(UTC).isoformat()}
        self._write(manifest)
        return manifest

    def _write(self, content: Mapping[str, Any]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft = self.path.with_suffix(".draft")
            draft.write_text(json.dumps(content, indent=2) + "\n")
            draft.replace(self.path)
        except OSError as error:
            raise InputError(
                f"The manifest {self.path} cannot be written: {error.strerror}.",
                "Give --manifest a file that you may write.",
            ) from error


def read(path: Path) -> Manifest:
    """Read one manifest.

    Raises:
        InputError: It cannot be read, or is none.
    """
    try:
        content = json.loads(path.read_text())
        is_complete = content["finished_at"] is not None
        manifest = Manifest(
            path, str(content["namespace"]), str(content["sent_to"]), content["topic"], is_complete
        )
        if not is_complete:
            return manifest
        return Manifest(
            path,
            manifest.namespace,
            manifest.sent_to,
            manifest.topic,
            is_complete=True,
            sha256=str(content["sha256"]),
            messages=int(content["messages"]),
            events=int(content["distinct_event_ids"]),
            duplicates=int(content["duplicates"]),
            malformed_by_error_type={
                str(reason): int(count)
                for reason, count in content["malformed_by_error_type"].items()
            },
        )
    except OSError as error:
        raise InputError(
            f"The manifest {path} cannot be read: {error.strerror}.",
            "Name a file that `pbm generate orders` wrote.",
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no manifest that says where its orders were sent.",
            "`pbm generate orders` writes one for every sending; name such a file, and move any "
            "other out of the folder of manifests.",
        ) from error


def read_folder(folder: Path) -> Sequence[Manifest]:
    """Read every manifest of a folder, in the order of sending; none if there is no folder.

    Raises:
        InputError: One cannot be read, or is none.
    """
    return [read(path) for path in sorted(folder.glob("*.json"))]
