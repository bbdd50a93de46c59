"""Where messages come from: a Pub/Sub subscription, or a file with one message a line.

A source hands out batches and is told when a batch is safe. Nothing is acknowledged before.
"""

import hashlib
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ingestion.events import Message
from ingestion.runs import IngestRun
from pbm.errors import InputError, ServiceError

_WHITE_SPACE = b" \t\r\n"


@dataclass(frozen=True)
class Batch:
    """Messages that are landed together."""

    messages: list[Message]
    batch_id: uuid.UUID = field(default_factory=uuid.uuid4)


class Source(Protocol):
    """Hands out batches of messages until there are no more."""

    def batches(self) -> Iterator[Batch]:
        """The batches; one that was handed out is acknowledged before the next is asked for."""

    def acknowledge(self, batch: Batch) -> None:
        """Say that ``batch`` is committed and never needed again."""

    def close(self) -> None:
        """Give back what is held."""


class FileSource:
    """A file with one message a line, for backfills and replays.

    A message's id is ``file-<first 12 hex of the file's SHA-256>-<line number, 10 digits>``, so
    that the same file twice changes nothing. Its publish time is when it was handed over.

    Args:
        path: The file; lines end at LF, a line of nothing but white space is no message.
        batch_size: Messages in a batch.

    Raises:
        InputError: The file is missing or cannot be read.
    """

    def __init__(self, path: Path, *, batch_size: int) -> None:
        self._path = path
        self._batch_size = batch_size
        if path.is_dir():
            raise InputError(f"{path} is a folder, not a file.", "Name one file of messages.")
        try:
            self._file: BinaryIO = path.open("rb")
            self._sha256 = hashlib.file_digest(self._file, "sha256").hexdigest()
            self._file.seek(0)
        except OSError as error:
            raise InputError(
                f"The file {path} cannot be read: {error.strerror}.",
                "Check its name and permissions; `pbm generate orders --to FILE` makes one.",
            ) from error

    @property
    def name(self) -> str:
        """What tells this file's content from any other's."""
        return f"file-{self._sha256[:12]}"

    def batches(self) -> Iterator[Batch]:
        """The file's messages in order, ``batch_size`` at a time."""
        publish_time = datetime.now(UTC)
        messages: list[Message] = []
        prefix = f"{self.name}-"
        for number, line in enumerate(self._file, start=1):
            if not line.strip(_WHITE_SPACE):
                continue
            data = line.removesuffix(b"\n")
            messages.append(Message(f"{prefix}{number:010d}", data, {}, publish_time))
            if len(messages) == self._batch_size:
                yield Batch(messages)
                messages = []
        if messages:
            yield Batch(messages)

    def acknowledge(self, batch: Batch) -> None:
        """Nothing to do: a file can be read again."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass
class _Pulled:
    """What one pull brought, and since when at the earliest its deadline runs."""

    messages: list[Message]
    ack_ids: list[str]
    leased_at: float


class PubSubSource:
    """A Pub/Sub subscription, pulled ahead of the work and acknowledged after it.

    A thread pulls from the first moment, before batches are asked for: a backlog comes in while
    the caller still loads its engine. It also keeps the deadlines of what waits from passing.

    Pulls return at once, with what is there: a pull that the client gives up on while the server
    answers would leave messages leased to nobody.

    Args:
        subscription: Full resource name.
        batch_size: Messages in a batch at most.
        follow: Go on for ever, rather than end when the subscription is empty.
        run: The record of this run, in which is noted until when it may hold messages, so that a
            drain after a kill waits for those that the killed process held.
        stopping: Asked before every pull; true ends the batches early.

    Raises:
        ServiceError: Pub/Sub does not answer, or the subscription is missing.
    """

    _IDLE_SECONDS = 0.1
    _CALL_SECONDS = 5.0
    _LEASE_SECONDS = 3.0
    # How long a service that stalls is waited for, and one that is away.
    _STALL_SECONDS = 30.0
    _AWAY_SECONDS = 10.0
    # Pub/Sub may answer "nothing" while there is something: ask again before believing it.
    _EMPTY_PULLS_AT_END = 5
    _MESSAGES_PER_PULL = 1000
    _BATCHES_AHEAD = 2
    # While pulls come back full there is more, and a larger batch costs less for each message.
    # Google's emulator gives out no more than so many at a time.
    _FULL_PULL = 100
    _GATHERING_SECONDS = 1.0
    _ACKS_PER_CALL = 2000

    def __init__(
        self,
        subscription: str,
        *,
        batch_size: int,
        follow: bool,
        run: IngestRun,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        from google.cloud import pubsub_v1

        self._subscription = subscription
        self._batch_size = batch_size
        self._follow = follow
        self._run = run
        self._silent_until = 0.0
        self._renew_lease_at = 0.0
        self._stopping = stopping
        self._client = pubsub_v1.SubscriberClient()
        self._ack_deadline = timedelta(seconds=60)
        answer = self._call(self._client.get_subscription)
        self._ack_deadline = timedelta(seconds=answer.ack_deadline_seconds)
        self._changed = threading.Condition()  # guards what follows
        self._waiting: deque[_Pulled] = deque()
        self._is_behind = False  # the last pull was full
        self._handed_out: dict[uuid.UUID, list[_Pulled]] = {}
        self._has_ended = False
        self._error: Exception | None = None
        self._puller = threading.Thread(target=self._pull_ahead, name="pull", daemon=True)
        self._puller.start()

    def batches(self) -> Iterator[Batch]:
        """All that has come in since the last batch, up to the size of one.

        While there is more to pull, messages gather for a moment.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._has_ended)
                self._changed.wait_for(self._is_gathered, timeout=self._GATHERING_SECONDS)
                if not self._waiting:
                    break
                batch = Batch([])
                pulls = self._handed_out[batch.batch_id] = []
                room = self._batch_size
                while self._waiting and len(self._waiting[0].messages) <= room:
                    pulls.append(self._waiting.popleft())
                    room -= len(pulls[-1].messages)
                self._changed.notify_all()
            for pulled in pulls:
                batch.messages.extend(pulled.messages)
            yield batch
        if self._error is not None:
            raise self._error

    def acknowledge(self, batch: Batch) -> None:
        """Acknowledge ``batch``; its messages do not come again."""
        with self._changed:
            pulls = self._handed_out[batch.batch_id]
        if any(self._is_late(pulled) for pulled in pulls):
            self._expect_again()  # some may be on their way once more
        self._call_for(pulls, self._client.acknowledge)
        with self._changed:
            del self._handed_out[batch.batch_id]
            self._changed.notify_all()

    def close(self) -> None:
        """Stop pulling and close the connection."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()
        self._puller.join(self._CALL_SECONDS)
        self._client.close()

    def _pull_ahead(self) -> None:
        """What the thread does until there is nothing more to pull."""
        try:
            empty_pulls = 0
            while not self._has_ended and not self._stopping():
                self._keep_leases()
                if not self._has_room():
                    continue
                pulled = self._pull()
                with self._changed:
                    self._is_behind = len(pulled.messages) >= self._FULL_PULL
                    if pulled.messages:
                        self._waiting.append(pulled)
                        self._changed.notify_all()
                        continue
                    self._changed.notify_all()
                    holds_nothing = not self._waiting and not self._handed_out
                empty_pulls = empty_pulls + 1 if holds_nothing else 0
                if holds_nothing:
                    self._hold_nothing()
                    if not self._follow and self._is_drained(empty_pulls):
                        return
                time.sleep(self._IDLE_SECONDS)
        except Exception as error:  # noqa: BLE001  raised where batches are asked for
            self._error = error
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _is_gathered(self) -> bool:
        """Whether waiting longer would not make the next batch larger."""
        return (
            self._has_ended
            or not self._is_behind
            or sum(len(pulled.messages) for pulled in self._waiting) >= self._batch_size
        )

    def _has_room(self) -> bool:
        """Whether more may be pulled now; waits a little for it."""
        most = self._BATCHES_AHEAD * self._batch_size
        with self._changed:
            return self._changed.wait_for(
                lambda: sum(len(pulled.messages) for pulled in self._waiting) < most,
                timeout=self._IDLE_SECONDS,
            )

    def _is_drained(self, empty_pulls: int) -> bool:
        return (
            empty_pulls >= self._EMPTY_PULLS_AT_END
            and time.monotonic() > self._silent_until
            and not self._run.others_hold()
        )

    def _hold_nothing(self) -> None:
        """Every batch was acknowledged and the last pull was empty: nobody need wait for us."""
        self._renew_lease_at = 0.0
        self._run.hold(timedelta(seconds=max(0.0, self._silent_until - time.monotonic())))

    def _expect_again(self) -> None:
        """Messages are out that nobody acknowledges: they come again after their deadline."""
        self._silent_until = time.monotonic() + self._ack_deadline.total_seconds() + 1

    def _keep_leases(self) -> None:
        """Before a pull: note that messages are held, and keep old ones from coming again."""
        if time.monotonic() < self._renew_lease_at:
            return
        # a message's own deadline starts within the call, which may be the last before renewal
        margin = timedelta(seconds=self._LEASE_SECONDS + self._CALL_SECONDS)
        self._run.hold(self._ack_deadline + margin)
        self._renew_lease_at = time.monotonic() + self._LEASE_SECONDS
        half = self._ack_deadline.total_seconds() / 2
        with self._changed:
            held = [*self._waiting, *(one for pulls in self._handed_out.values() for one in pulls)]
        old = [pulled for pulled in held if time.monotonic() - pulled.leased_at > half]
        if any(self._is_late(pulled) for pulled in old):
            self._expect_again()
        leased_at = time.monotonic()
        self._call_for(
            old,
            self._client.modify_ack_deadline,
            ack_deadline_seconds=round(self._ack_deadline.total_seconds()),
        )
        for pulled in old:
            pulled.leased_at = leased_at

    def _is_late(self, pulled: _Pulled) -> bool:
        """Whether the messages may have been given out again."""
        return time.monotonic() - pulled.leased_at > self._ack_deadline.total_seconds()

    def _call_for(
        self,
        pulls: list[_Pulled],
        method: Callable[..., Any],
        **arguments: Any,  # noqa: ANN401
    ) -> None:
        ack_ids = [ack_id for pulled in pulls for ack_id in pulled.ack_ids]
        for start in range(0, len(ack_ids), self._ACKS_PER_CALL):
            some = ack_ids[start : start + self._ACKS_PER_CALL]
            self._call(method, ack_ids=some, **arguments)

    def _pull(self) -> _Pulled:
        pulled = _Pulled([], [], time.monotonic())
        answer = self._call(
            self._client.pull,
            max_messages=min(self._MESSAGES_PER_PULL, self._batch_size),
            return_immediately=True,
        )
        # the plain protobuf message: its Python wrapper takes eight times as long to read
        for one in answer._pb.received_messages:  # noqa: SLF001
            message = one.message
            pulled.messages.append(
                Message(
                    message.message_id,
                    message.data,
                    dict(message.attributes),
                    message.publish_time.ToDatetime(tzinfo=UTC),
                )
            )
            pulled.ack_ids.append(one.ack_id)
        return pulled

    def _call(self, method: Callable[..., Any], **arguments: Any) -> Any:  # noqa: ANN401
        from google.api_core import exceptions

        request = {"subscription": self._subscription, **arguments}
        started = time.monotonic()
        has_failed = False
        try:
            while True:
                try:
                    answer = method(request=request, timeout=self._CALL_SECONDS, retry=None)
                except (exceptions.DeadlineExceeded, exceptions.ServiceUnavailable) as error:
                    is_away = isinstance(error, exceptions.ServiceUnavailable)
                    patience = self._AWAY_SECONDS if is_away else self._STALL_SECONDS
                    if time.monotonic() - started > patience:
                        raise
                    has_failed = True
                    time.sleep(self._IDLE_SECONDS)
                else:
                    if has_failed:
                        # what was asked before is answered only now, too late for us to hear: a
                        # pull among it holds messages for nobody
                        self._expect_again()
                    return answer
        except exceptions.NotFound as error:
            raise ServiceError(
                f"Pub/Sub has no {self._subscription}.",
                "Run `pbm up`: it creates the topic and the subscription.",
            ) from error
        except exceptions.GoogleAPICallError as error:
            raise ServiceError(
                f"Pub/Sub does not answer for {self._subscription}: {error.__class__.__name__}.",
                "See `pbm status`; start the emulator with `pbm up`. Nothing that was not "
                "committed was acknowledged, so run the command again.",
            ) from error
