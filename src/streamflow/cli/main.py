"""`streamflow`: the frame of the command line.

Commands are imported when they are called, so that help is quick. An error that a user can meet becomes a
message on stderr and an exit code (see errors.py); anything else one sentence and a file with the trace.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from streamflow import disk_full
from streamflow.cli.output import show_trace, trace_without_messages
from streamflow.errors import StreamFlowError, UsageError

LAPTOP, DATA, MODELS, PLATFORM = "Laptop", "Data", "Models", "Platform"
_HELP_NAMES = {"help_option_names": ["-h", "--help"]}


@dataclass(frozen=True)
class Command:
    """Where a command's code is.

    Attributes:
        target: `module:attribute` below `streamflow.cli`; the attribute is a function or a Typer app.
        summary: One line for the list of commands.
        panel: Heading it is listed under.
    """

    target: str
    summary: str
    panel: str


COMMANDS = {
    "demo": Command(
        "local:demo", "Run the whole pipeline on this machine, from drops to predictions.", LAPTOP
    ),
    "up": Command("local:up", "Start the local stack, and return once every service answers.", LAPTOP),
    "down": Command("local:down", "Stop the local stack.", LAPTOP),
    "status": Command("local:status", "List the services of the local stack, and where they are.", LAPTOP),
    "doctor": Command("local:doctor", "Check everything, and say what to do about what is wrong.", LAPTOP),
    "init": Command("init:init", "Write a first feature repo from CSV files.", DATA),
    "simulate": Command("drops:simulate_command", "Write invented drops in the form of the real ones.", DATA),
    "ingest": Command("drops:ingest_command", "Check a drop and store its good rows.", DATA),
    "drops": Command("drops:app", "The ledger of drops, and what was rejected.", DATA),
    "features": Command("features:app", "Feature definitions, and the features of an entity.", DATA),
    "materialize": Command("features:materialize", "Load the newest drop into the online store.", DATA),
    "train": Command("models:train", "Train a model version as of a date.", MODELS),
    "models": Command("models:app", "Model versions: list, show, promote, roll back, history.", MODELS),
    "gate": Command("promotions:gate", "Judge a version against the one in production.", MODELS),
    "promote": Command("promotions:promote", "The same as 'models promote'.", MODELS),
    "rollback": Command("promotions:rollback", "The same as 'models rollback'.", MODELS),
    "promotion": Command("automation:app", "Automatic promotion: resume it after a rollback.", MODELS),
    "reproduce": Command("reproduce:reproduce", "Train a run again; say whether it is the same.", MODELS),
    "trial": Command("trials:app", "Versions on trial beside production: canary, challenger.", MODELS),
    "predict": Command("predictions:predict", "Ask the predict service about entities.", MODELS),
    "explain": Command("explain:explain", "The answer for an entity at a past time, computed again.", MODELS),
    "score": Command("predictions:score", "Score every entity with the production model.", MODELS),
    "monitor": Command("monitor:app", "Drift, quality and harm: is what is served still right?", MODELS),
    "keys": Command("keys:app", "API keys of the predict service.", PLATFORM),
    "db": Command("db:app", "The database: migrations, roles, readiness.", PLATFORM),
    "backup": Command("backups:backup", "Dump databases and model versions into a folder.", PLATFORM),
    "restore": Command("backups:restore", "Bring a backup back.", PLATFORM),
    "upgrade": Command(
        "upgrades:upgrade", "Migrate the databases, after a rehearsal on a copy of them.", PLATFORM
    ),
    "erase": Command("erasures:erase", "Remove everything about an entity, and refuse it later.", PLATFORM),
    "jobs": Command("jobs:app", "The scheduled jobs of a cluster.", PLATFORM),
    "flows": Command("flows:app", "The jobs conducted by Prefect.", PLATFORM),
    "serve": Command("serve:app", "Run one of the platform's servers in the foreground.", PLATFORM),
    "settings": Command("settings:app", "The settings and where each comes from.", PLATFORM),
}


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are called, not when they are listed."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """All commands, in the order of the table."""
        return list(COMMANDS)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the list of commands, from the table alone."""
        self._listing = True
        super().format_help(ctx, formatter)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command called so; a mere line of the list while help is shown."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        if self._listing:
            return TyperCommand(cmd_name, help=entry.summary, rich_help_panel=entry.panel)
        return load(cmd_name)


def load(name: str) -> Any:
    """Import a command and make it ready to be called."""
    module_name, _, attribute = COMMANDS[name].target.partition(":")
    target = getattr(importlib.import_module(f"streamflow.cli.{module_name}"), attribute)
    if isinstance(target, typer.Typer):
        command: Any = typer.main.get_group(target)
    else:
        single = typer.Typer(add_completion=False)
        single.command(name, context_settings=_HELP_NAMES)(target)
        command = typer.main.get_command(single)
    command.name = name
    return _prepared(command)


def _prepared(command: Any) -> Any:
    """Have logs set up before the command runs, and not before its help is shown."""
    for inner in getattr(command, "commands", {}).values():
        _prepared(inner)
    if command.callback is not None and not hasattr(command, "commands"):
        callback = command.callback

        @functools.wraps(callback)
        def run_prepared(*arguments: Any, **options: Any) -> Any:
            _prepare_process()
            return callback(*arguments, **options)

        command.callback = run_prepared
    return command


def _prepare_process() -> None:
    from streamflow import log
    from streamflow import settings as settings_module

    held = settings_module.load().log
    if "level" not in held.model_fields_set:
        # People read the command's own words; logs are for jobs and services.
        held = held.model_copy(update={"level": "debug" if held.debug else "warning"})
    log.configure(held)
    # A proxy of the environment is for the world outside, not for the stack on this machine.
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))


def _debug() -> bool:
    from streamflow import settings as settings_module

    try:
        return settings_module.load().log.debug
    except (StreamFlowError, RuntimeError):
        # Settings that cannot be read, or the home folder of an unknown user must not hide the error that is being shown.
        return False


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_HELP_NAMES,
    epilog="Try it: streamflow demo. One command's help: streamflow ingest --help."
    " Exit codes: 0 done, 1 failed, 2 wrong call, 3 refused, 4 a dependency is down.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"streamflow {version('streamflow')}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show logs, and the trace of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Monthly CSV drops in, governed and reproducible churn predictions out."""
    if debug:
        os.environ["STREAMFLOW_LOG__DEBUG"] = "1"


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(_command_line))


def _command_line() -> None:
    for position, word in enumerate(sys.argv[1:], start=1):
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = word.encode("utf-8", "backslashreplace").decode()
            raise UsageError(
                f"Argument {position} is not UTF-8 text: '{shown}'.",
                hint="Type it again, in a terminal whose encoding is UTF-8.",
            ) from None
    typer.main.get_command(app)(prog_name="streamflow")


def run(command: Callable[[], Any]) -> int:
    """Run a command line; report any error to the user; return the exit code."""
    try:
        command()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:
        return 130
    except StreamFlowError as error:
        if _debug():
            show_trace(error)
        _tell(error)
        return error.exit_code
    except Exception as error:
        if _debug():
            show_trace(error)
        if (full := disk_full.behind(error)) is not None:
            _tell(full)
            return full.exit_code
        _tell_unexpected(error)
        return 1
    return 0


def _tell(error: StreamFlowError) -> None:
    typer.secho(error.what, fg="red", err=True)
    for line in error.details:
        typer.echo(f"  - {line}", err=True)
    if error.hint:
        typer.echo(error.hint, err=True)


def _tell_unexpected(error: Exception) -> None:
    first = str(error).strip().splitlines()
    typer.secho(
        f"Something unexpected failed: {type(error).__name__}: {first[0] if first else ''}",
        fg="red",
        err=True,
    )
    where = _keep_trace("".join(trace_without_messages(error)))
    typer.echo(
        f"The full trace was written to {where}. 'streamflow doctor' looks for known causes.", err=True
    )


def _words() -> str:
    """The command and the options that it was called with, without arguments and values."""
    called = sys.argv[1:]
    command = [word for word in called[:1] if word in COMMANDS]
    options = [word.partition("=")[0] for word in called if word.startswith("--")]
    return " ".join(["streamflow", *command, *options])


def _keep_trace(text: str) -> Path:
    name = f"cli-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log"
    home = Path(os.environ.get("STREAMFLOW_HOME") or ".streamflow")
    # Neither a folder that cannot be written nor a character that cannot be encoded hides the error itself.
    # Nor does an argument, such as a customer's key, stay in the file.
    content = f"{_words()}\n\n{text}".encode("utf-8", "backslashreplace")
    for folder in (home, None):
        try:
            where = (
                folder.expanduser().resolve() / "logs"
                if folder
                else Path(tempfile.mkdtemp(prefix="streamflow-"))
            )
            where.mkdir(parents=True, exist_ok=True)
            (where / name).write_bytes(content)
            return where / name
        except (OSError, RuntimeError, ValueError):
            continue
    return Path(os.devnull)
