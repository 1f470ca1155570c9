"""`streamflow keys`: API keys of the predict service, of the registrar and of Feast's server."""

from __future__ import annotations

from typing import Annotated

import typer

from streamflow.cli.output import AsJson, print_json
from streamflow.times import parse_moment

app = typer.Typer(
    no_args_is_help=True, help="API keys of the predict service, of the registrar and of Feast's server."
)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the client that the key is for.")],
    scope: Annotated[
        list[str],
        typer.Option(help="What it may do: predict, features, promote, write; may be repeated."),
    ],
    expires: Annotated[
        str,
        typer.Option(
            help="Day or time (UTC) from which on it is refused, such as 2027-01-31; default: never."
        ),
    ] = "",
    rate: Annotated[
        str,
        typer.Option(
            help="Most requests per unit of time and replica, such as 100/second; default: no limit."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Make a key, and its line for the file that STREAMFLOW_PREDICT__API_KEYS_FILE names.

    A key of scope `promote` is for the registrar: STREAMFLOW_PROMOTION__API_KEYS_FILE. A key of scope `write` is for
    Feast's server: STREAMFLOW_FEAST__API_KEYS_FILE.

    The key is shown once and stored nowhere; the line holds its digest only.

    Example: streamflow keys new checkout --scope predict --expires 2027-01-31 --rate 100/second
    """
    from streamflow.http.api_keys import new_key

    key, line = new_key(name, scope, expires=parse_moment(expires) if expires else None, rate=rate)
    if as_json:
        print_json({"key": key, "line": line})
        return
    typer.echo(f"Key, shown this once:  {key}")
    typer.echo(f"Line for the file:     {line}")
