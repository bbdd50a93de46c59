"""The commands of the dead letters: `pbm dead-letters list`, `show` and `replay`."""

import base64
import os
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ingestion.dead_letters import REASONS, DeadLetters, Full, Listed, Replayed, Selection
from ingestion.suppression import ERASED
from pbm import console
from pbm.errors import InputError, UsageError
from pbm.logs import log_to
from pbm.settings import Settings, load_settings
from pbm.stack import Stack

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
ReasonOption = Annotated[
    list[str] | None,
    typer.Option("--reason", help=f"Only these; may be repeated. One of {', '.join(REASONS)}."),
]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def dead_letters() -> None:
    """Messages that ingestion refused: look at them, and send them once more.

    Every message is one row of bronze or one dead letter, with its bytes as received. When the
    cause is gone (a rule, a constraint, a clock), replay them, and ingest.
    """


@app.command("list")
def list_(
    *,
    reason: ReasonOption = None,
    replayed: Annotated[
        bool | None,
        typer.Option("--replayed/--not-replayed", help="Only those; both if not given."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many of the newest to name.")] = 20,
    json: JsonOption = False,
) -> None:
    """Count the dead letters by reason, and name the newest. No payload is shown."""
    selection = Selection(_known(reason), is_replayed=replayed)
    with _opened(load_settings()) as letters:
        counts = letters.by_reason(selection)
        newest = letters.newest(selection, limit)
    if json:
        console.print_json(
            {
                "by_reason": [_plain(count._asdict()) for count in counts],
                "dead_letters": [_plain(letter._asdict()) for letter in newest],
            }
        )
        return
    if not counts:
        console.say("There are no such dead letters.")
        return
    table = Table(title="Dead letters by reason", title_justify="left")
    table.add_column("reason")
    table.add_column("count", justify="right")
    table.add_column("not replayed", justify="right")
    table.add_column("newest")
    for count in counts:
        numbers = f"{count.dead_letters:,}", f"{count.not_replayed:,}"
        table.add_row(_safe(count.error_type), *numbers, _when(count.newest_failed_at))
    console.out.print(table)
    _print_newest(newest, total=sum(count.dead_letters for count in counts))


def _print_newest(newest: Sequence[Listed], total: int) -> None:
    if not newest:
        return
    table = Table(title=f"The newest {len(newest):,} of {total:,}", title_justify="left")
    table.add_column("id", overflow="fold")
    for column in ("reason", "what was wrong", "refused", "replayed"):
        table.add_column(column)
    for letter in newest:
        table.add_row(
            _safe(letter.message_id),
            _safe(letter.error_type),
            _safe(letter.error_message),
            _when(letter.failed_at),
            _replays_of(letter),
        )
    console.out.print(table)


@app.command()
def show(
    message_id: Annotated[str, typer.Argument(metavar="ID", help="As `list` names it.")],
    *,
    payload: Annotated[
        bool,
        typer.Option(
            "--payload",
            help="Show the message itself too. It may name a patient: mind where it is printed.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show one dead letter: what was wrong, its attributes, and what became of its replays.

    The payload is shown only with --payload, because bronze and the dead letters hold messages as
    received, with the names and addresses of patients.
    """
    with _opened(load_settings()) as letters:
        full = letters.find(message_id)
    if json:
        console.print_json(_full_as_dict(full, payload=payload))
        return
    lines = {
        "id": full.listed.message_id,
        "reason": full.listed.error_type,
        "what was wrong": full.listed.error_message,
        "published": _when(full.listed.publish_time),
        "refused": _when(full.listed.failed_at),
        "replayed": _replays_of(full.listed),
        "size": f"{len(full.payload):,} bytes",
    }
    for name, value in full.attributes.items():
        lines[f"attribute {name}"] = value
    for replay in full.replays:
        lines[f"replay {replay.message_id}"] = f"{_when(replay.replayed_at)}, {replay.outcome}"
    if payload:
        lines["payload"] = full.payload.decode("utf-8", "backslashreplace")
    for name, value in lines.items():
        console.out.print(f"[bold]{_safe(name)}[/]: {_safe(value)}", soft_wrap=True)
    if not payload:
        console.say("The payload may name a patient: --payload shows it.")


@app.command()
def replay(
    *,
    reason: ReasonOption = None,
    id_: Annotated[
        list[str] | None, typer.Option("--id", help="Only the one with this id; may be repeated.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also those that were replayed before.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be republished.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Publish dead letters once more: the same bytes and attributes, as new messages.

    Without --reason or --id, all that were never replayed. Then `pbm ingest --from pubsub` takes
    them in as it does any message: what is still not accepted is a new dead letter, and one that
    is accepted joins the rest. The dead letter itself stays, marked as replayed.

    Nothing is lost when this fails or is killed: a row is marked after Pub/Sub has its message. At
    worst the last call's messages are published twice, and an event counts once.
    """
    settings = load_settings()
    log_to(settings.home)
    ids = list(dict.fromkeys(id_ or ()))
    selection = Selection(_known(reason), ids)
    with _opened(settings) as letters:
        letters.require(ids)
        # of a patient who was erased there is nothing to send
        before = [one for one in letters.by_reason(selection) if one.error_type != ERASED]
        total = sum(count.dead_letters for count in before)
        fresh = sum(count.not_replayed for count in before)
        wanted = total if again else fresh
        if dry_run:
            counts = {c.error_type: c.dead_letters if again else c.not_replayed for c in before}
            done = Replayed(Counter({reason: count for reason, count in counts.items() if count}))
        elif wanted:
            publish = _publisher(settings)
            done = letters.replay(selection, publish, again=again)
        else:
            done = Replayed()
    passed_over = 0 if again else total - fresh
    _report(done, passed_over, dry_run=dry_run, json=json)
    if done.refused:
        raise InputError(
            f"Pub/Sub does not take {len(done.refused):,} of the messages; the first is "
            f"{done.refused[0]!r}. They stay as they are.",
            "A message may hold 10 MB, and must hold data or attributes: ingest such from a file.",
        )


def _report(done: Replayed, passed_over: int, *, dry_run: bool, json: bool) -> None:
    if json:
        console.print_json(
            {
                "republished": 0 if dry_run else done.by_reason.total(),
                "would_republish": done.by_reason.total() if dry_run else None,
                "by_reason": dict(sorted(done.by_reason.items())),
                "replayed_before": passed_over,
                "held_by_another_replay": done.held,
                "refused_by_pubsub": done.refused,
            }
        )
        return
    if done.by_reason:
        title = "Would be republished" if dry_run else "Republished"
        table = Table(title=title, title_justify="left")
        table.add_column("reason")
        table.add_column("messages", justify="right")
        for reason, count in sorted(done.by_reason.items()):
            table.add_row(_safe(reason), f"{count:,}")
        console.out.print(table)
    else:
        console.say("Nothing to republish.")
    if passed_over:
        console.say(f"{passed_over:,} were replayed before; --again takes them too.")
    if done.held:
        console.say(f"{done.held:,} are in the hands of another replay that runs now.")
    if done.by_reason and not dry_run:
        console.say("Take them in with [bold]pbm ingest --from pubsub[/].")


def _publisher(settings: Settings) -> Callable[..., list[str]]:
    os.environ["PUBSUB_EMULATOR_HOST"] = Stack(settings).require_pubsub_emulator_host()
    from ingestion.publisher import OrdersPublisher

    return OrdersPublisher(settings.topic_path).publish


def _opened(settings: Settings) -> DeadLetters:
    return DeadLetters(Stack(settings).require_postgres_dsn())


def _known(reasons: Sequence[str] | None) -> list[str]:
    unknown = [reason for reason in reasons or () if reason not in REASONS]
    if unknown:
        raise UsageError(
            f"There is no reason {unknown[0]!r}.", f"Give one of {', '.join(REASONS)}."
        )
    return list(reasons or ())


def _full_as_dict(full: Full, *, payload: bool) -> dict[str, Any]:
    plain = _plain(full.listed._asdict())
    plain["attributes"] = full.attributes
    plain["payload_bytes"] = len(full.payload)
    plain["replays"] = [_plain(replay._asdict()) for replay in full.replays]
    if payload:
        plain["payload_base64"] = base64.b64encode(full.payload).decode("ascii")
    return plain


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def _when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _replays_of(letter: Listed) -> str:
    if letter.replayed_at is None:
        return "no"
    times = "once" if letter.replay_count == 1 else f"{letter.replay_count:,} times"
    return f"{times}, {_when(letter.replayed_at)}"


def _safe(text: str) -> str:
    """A text that a source wrote, without anything that a terminal or Rich would act on."""
    return escape(
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    )
