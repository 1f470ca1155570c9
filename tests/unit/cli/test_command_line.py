"""The frame of the command line: what it does with arguments and errors that nobody expects."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamflow.cli import main


def test_an_argument_that_is_no_text_is_a_wrong_call():
    program = str(Path(sys.executable).with_name("streamflow"))
    done = subprocess.run(
        [program, "rollback", "--why", b"a\xff"],
        env=os.environ,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    assert b"Argument 3 is not UTF-8 text: 'a\\udcff'" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("home", ["/proc/nowhere", "~nobody-of-this-name/x"])
def test_an_unexpected_error_is_kept_wherever_it_can_be(monkeypatch, capsys, home):
    def fails():
        raise RuntimeError("what nobody expects")

    # Whoever calls `run` may have taken such an argument.
    monkeypatch.setattr(sys, "argv", ["streamflow", "--a\udcff"])
    monkeypatch.setenv("STREAMFLOW_HOME", home)
    assert main.run(fails) == 1
    told = capsys.readouterr().err
    assert "RuntimeError: what nobody expects" in told
    kept = Path(told.partition("was written to ")[2].partition(". 'streamflow")[0])
    assert "--a\\udcff" in kept.read_text(encoding="utf-8")


def test_the_trace_that_is_kept_names_nobody(monkeypatch, capsys, tmp_path):
    person = "0002-PERSON"

    def fails():
        try:
            int(person)
        except ValueError as error:
            raise RuntimeError(f"nothing is known of {person}") from error

    monkeypatch.setattr(sys, "argv", ["streamflow", "predict", person, "--json", f"--at={person}"])
    monkeypatch.setenv("STREAMFLOW_HOME", str(tmp_path))
    assert main.run(fails) == 1
    assert person in capsys.readouterr().err
    (kept,) = (tmp_path / "logs").iterdir()
    text = kept.read_text(encoding="utf-8")
    assert text.startswith("streamflow predict --json --at\n")
    assert "builtins.ValueError" in text and "builtins.RuntimeError" in text and "in fails" in text
    assert person not in text
