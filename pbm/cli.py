"""The `pbm` command.

Commands of other packages come in through the entry points of the group ``pbm.commands``, so
that this package depends on none of them.
"""

import os
import signal
import subprocess
import sys
import traceback
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.markup import escape
from rich.table import Table

from pbm import console
from pbm.dictionary_commands import dictionary_app
from pbm.errors import PbmError, UsageError
from pbm.looker import DEFAULT_MART, link
from pbm.privacy_commands import privacy_app
from pbm.settings import PROJECT_ROOT, load_settings
from pbm.stack import Stack, StackStatus

EXIT_CODES = """
[bold]Exit codes[/]: 0 done · 1 a check failed · 2 wrong usage · 3 an input cannot be used ·
4 a service does not answer · 5 a setting is wrong · 70 a bug · 130 interrupted

[bold]First steps[/]: pbm up, then pbm generate orders --orders 500 --seed 7 --to pubsub,
pbm ingest --from pubsub --drain, pbm build. Or all at once: pbm demo.
"""
BUG = 70

app = typer.Typer(
    name="pbm",
    help="PBM Logistics 360: order events of a specialty pharmacy, from Pub/Sub to a star schema.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(dictionary_app, name="dictionary")
app.add_typer(privacy_app, name="privacy")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@app.callback()
def options(
    *,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the traceback of an error. May stand anywhere.")
    ] = False,
) -> None:
    """Settings come from the environment; main() reads --verbose, so that it may stand anywhere."""
    del verbose


@app.command()
def up(*, json: JsonOption = False) -> None:
    """Start the local services: PostgreSQL, and Google's Pub/Sub emulator.

    Their state lies under PBM_HOME (default: .pbm/ in the project). Safe to call again. A server
    named by PBM_POSTGRES_DSN or PUBSUB_EMULATOR_HOST is used instead of one of our own.
    """
    _show(Stack(load_settings()).up(), json=json)


@app.command()
def down() -> None:
    """Stop the local services. The warehouse stays on disk; unread messages do not.

    The Pub/Sub emulator keeps its messages in memory: ingest them before.
    """
    stopped = Stack(load_settings()).down()
    console.say(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")


@app.command()
def status(*, json: JsonOption = False) -> None:
    """Show what runs, and where."""
    _show(Stack(load_settings()).status(), json=json)


@app.command()
def env() -> None:
    """Print the export lines that point any tool at this stack: eval "$(pbm env)".

    The pseudonym key is not among them: it stays in PBM_HOME, or in PBM_PSEUDONYM_KEY. What a
    variable names is ready to be used: for the first call, Airflow makes its tables.
    """
    stack = Stack(load_settings())
    variables = stack.environment()
    for entry_point in entry_points(group="pbm.environment"):
        variables |= entry_point.load()(stack)
    console.print_exports(variables)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def run(context: typer.Context) -> None:
    """Run a command against the stack, which is started and stopped around it if need be.

    Example: pbm run -- dbt build --select +daily_order_summary
    """
    if not context.args:
        raise UsageError(
            "pbm run needs a command.", "For example: pbm run -- dbt docs generate --static"
        )
    from pbm.running import running_stack

    with running_stack(load_settings()) as stack:
        code = subprocess.run(
            context.args, env={**os.environ, **stack.environment()}, check=False
        ).returncode
    raise typer.Exit(code)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def build(context: typer.Context) -> None:
    """Build and test silver and gold: dbt build, on this stack. Options go to dbt.

    Example: pbm build --select fact_order_lifecycle+ --full-refresh
    """
    from pbm.running import dbt

    raise typer.Exit(dbt(Stack(load_settings()), ["build", *context.args]))


@app.command("looker-link")
def looker_link(
    *,
    mart: Annotated[str, typer.Option(help="A table of gold.")] = DEFAULT_MART,
    name: Annotated[
        str | None, typer.Option(help="Name of the report; after the mart if not given.")
    ] = None,
) -> None:
    """Print the address that opens Looker Studio with a mart of BigQuery as data source.

    The project is GOOGLE_CLOUD_PROJECT's. docs/looker-studio.md tells how to go on.
    """
    typer.echo(link(load_settings(), mart, name))


@app.command()
def docs(
    page: Annotated[Path, typer.Option(help="Where the site goes.")] = PROJECT_ROOT
    / "target"
    / "static_index.html",
) -> None:
    """Build the dbt docs site into one HTML file, on a throwaway stack."""
    from pbm.docs_site import build_site

    build_site(page)


@app.command()
def demo(
    orders: Annotated[int, typer.Option(min=1, help="How many orders to generate.")] = 2000,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the orders; a new one each run if not given.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Also save what the demo prints as an SVG picture.")
    ] = None,
) -> None:
    """Show the whole platform at work: generate, publish, ingest, model, report.

    Starts the stack if it is not running, and stops it again in that case.
    """
    from pbm.demo import run_demo

    run_demo(load_settings(), orders=orders, seed=seed, picture=picture)


def _show(status: StackStatus, *, json: bool) -> None:
    if json:
        console.print_json(status.as_dict())
        return
    table = Table(title=f"Local stack in {status.state_dir}", title_justify="left")
    for column in ("service", "state", "where", "started by"):
        table.add_column(column)
    for service in status.services:
        table.add_row(
            service.name,
            "[green]running[/]" if service.running else "[red]not running[/]",
            service.where or "",
            "this stack" if service.managed else "the environment",
        )
    console.out.print(table)
    if not status.running:
        console.say("Start it with [bold]pbm up[/].")
    else:
        console.say('Point your shell at it: [bold]eval "$(pbm env)"[/]')


def main() -> NoReturn:
    """Run `pbm`; turn every error into one sentence, what to do, and an exit code."""
    arguments = sys.argv[1:]
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    verbose = "--verbose" in own
    arguments = [word for word in own if word != "--verbose"] + arguments[len(own) :]
    # a service manager's SIGTERM ends a command as Ctrl-C does: what it started ends with it
    signal.signal(signal.SIGTERM, _interrupt)
    for entry_point in entry_points(group="pbm.commands"):
        entry_point.load()(app)
    try:
        app(arguments)
    except PbmError as error:
        _tell(error.problem, error.hint, verbose=verbose)
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001  the last resort of the command line
        # its text is not shown: it may quote a payload
        _tell(
            f"pbm failed unexpectedly: {type(error).__name__}.",
            "run it again with --verbose, and report what it says.",
            verbose=verbose,
        )
        sys.exit(BUG)
    sys.exit(0)  # not reached: Typer exits by itself


def _tell(problem: str, hint: str, *, verbose: bool) -> None:
    if verbose:
        traceback.print_exc()
    console.err.print(f"[bold red]error:[/] {escape(problem)}", soft_wrap=True)
    console.err.print(f"[bold]what to do:[/] {escape(hint)}", soft_wrap=True)


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
