"""Run many command lines in one process, each as `streamflow` would; repeating the imports takes a minute.

Reads a JSON list of `[arguments, variables]` from stdin; prints a JSON list of `[exit code, stdout, stderr]`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys

import typer

from streamflow.cli import main as command_line


def call(arguments: list[str], variables: dict[str, str]) -> tuple[int, str, str]:
    before = dict(os.environ)
    os.environ.update(variables)
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            program = typer.main.get_command(command_line.app)
            code = command_line.run(lambda: program(arguments, prog_name="streamflow"))
    finally:
        os.environ.clear()
        os.environ.update(before)
    return code, out.getvalue(), err.getvalue()


if __name__ == "__main__":
    print(json.dumps([call(*item) for item in json.load(sys.stdin)]))
