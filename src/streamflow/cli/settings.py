"""`streamflow settings`: every setting, its value and what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from streamflow.cli.output import AsJson, print_json

if TYPE_CHECKING:
    from pydantic import BaseModel

app = typer.Typer(no_args_is_help=True, help="The settings and where each comes from.")


@app.callback()
def group() -> None:
    """The settings and where each comes from."""


@app.command()
def show(as_json: AsJson = False) -> None:
    """Show every setting, its environment variable and its value; secrets are masked.

    Example: streamflow settings show
    """
    from streamflow import settings as settings_module

    listed = flatten(settings_module.load(), "STREAMFLOW")
    if as_json:
        print_json(
            [{"variable": name, "value": value, "meaning": meaning} for name, value, meaning in listed]
        )
    else:
        for name, value, meaning in listed:
            typer.secho(f"{name}={'' if value is None else value}", bold=True)
            typer.echo(f"    {meaning}")


def flatten(model: BaseModel, prefix: str) -> list[tuple[str, Any, str]]:
    """Variable, value and meaning of every field, sections opened up; secrets masked."""
    from pydantic import BaseModel, SecretStr

    listed: list[tuple[str, Any, str]] = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        variable = f"{prefix}_{name.upper()}"
        if isinstance(value, BaseModel):
            listed += flatten(value, variable + "_")
            continue
        if isinstance(value, SecretStr):
            value = "********" if value.get_secret_value() else ""
        plain = value if isinstance(value, str | int | float | bool | None) else str(value)
        listed.append((variable, plain, field.description or ""))
    return listed
