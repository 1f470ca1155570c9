"""Help: every command explains itself, every argument and option has a sentence."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from streamflow.cli import main as command_line


def leaves(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, one in inner.items():
        yield from leaves((*path, name), one)


COMMANDS = [
    pytest.param(path, command, id=" ".join(path))
    for name in command_line.COMMANDS
    for path, command in leaves((name,), command_line.load(name))
]


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_every_command_argument_and_option_has_a_help_text(path, command):
    assert command.help, "the command has none"
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{parameter.name} has none"


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_help_of_a_command_says_what_it_does(path, command, flag, capsys):
    program = typer.main.get_command(command_line.app)
    code = command_line.run(lambda: program([*path, flag], prog_name="streamflow"))
    said = " ".join(capsys.readouterr().out.split())
    assert code == 0
    assert f"Usage: streamflow {' '.join(path)}" in said
    assert " ".join(command.help.split())[:40] in said


def test_the_list_of_commands_is_in_the_help_with_their_summaries(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    program = typer.main.get_command(command_line.app)
    assert command_line.run(lambda: program(["--help"], prog_name="streamflow")) == 0
    said = capsys.readouterr().out
    for name, entry in command_line.COMMANDS.items():
        assert f" {name} " in said
        assert entry.summary in said
