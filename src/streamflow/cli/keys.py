"""`streamflow keys`: API keys of the predict service."""

from __future__ import annotations

from typing import Annotated

import typer

from streamflow.cli.output import AsJson, print_json

app = typer.Typer(no_args_is_help=True, help="API keys of the predict service.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the client that the key is for.")],
    scope: Annotated[
        list[str],
        typer.Option(help="What it may do: predict, features; may be repeated."),
    ],
    as_json: AsJson = False,
) -> None:
    """Make a key, and its line for the file that STREAMFLOW_PREDICT__API_KEYS_FILE names.

    The key is shown once and stored nowhere; the line holds its digest only.

    Example: streamflow keys new checkout --scope predict
    """
    from streamflow.predict.http.api_keys import new_key

    key, line = new_key(name, scope)
    if as_json:
        print_json({"key": key, "line": line})
        return
    typer.echo(f"Key, shown this once:  {key}")
    typer.echo(f"Line for the file:     {line}")
