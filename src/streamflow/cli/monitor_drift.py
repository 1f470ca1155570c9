"""`streamflow monitor drift`: whether the features of a month differ from those that the model was trained on."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamflow.cli.dates import day
from streamflow.cli.output import AsJson, print_json, print_table, working

if TYPE_CHECKING:
    from streamflow.monitoring.drift.feature import Feature
    from streamflow.monitoring.drift.record import Verdict

FAILED = 3
"""Exit code of `--fail-on drifted` for a month that drifted."""


class FailOn(StrEnum):
    """Verdicts that a command can fail on."""

    DRIFTED = "drifted"


def drift(
    as_of: Annotated[
        date | None,
        typer.Option(metavar="DATE", parser=day, help="The month to judge; default: the newest drop's."),
    ] = None,
    fail_on: Annotated[FailOn | None, typer.Option(help="The verdict to exit with 3 on.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge whether the features of a month differ from those that the version in production was trained on.

    A month is judged once, and again when its drop is corrected; later calls show that verdict.

    Example: streamflow monitor drift --as-of 2024-02-29
    """
    from streamflow import settings as settings_module
    from streamflow.monitoring.drift import judge

    settings = settings_module.load()
    model, repo = settings.mlflow.registered_model, settings.feast.repo
    with working("Comparing", quiet=as_json):
        verdict = judge.judge(
            settings.database, model, repo, settings.monitoring, as_of, lake=settings.rows_in_lake
        )
    if as_json:
        print_json(document(verdict))
    else:
        _show(verdict)
    if fail_on is not None and verdict.verdict == fail_on:
        raise typer.Exit(FAILED)


def document(verdict: Verdict) -> dict[str, Any]:
    """The JSON document of a verdict, whose dates are those of drops."""
    found = asdict(verdict)
    return {**found, "as_of": verdict.as_of.date(), "reference_as_of": verdict.reference_as_of.date()}


def _show(verdict: Verdict) -> None:
    typer.echo(
        f"{verdict.as_of:%Y-%m-%d} against the training set of version {verdict.version}"
        f" ({verdict.reference_as_of:%Y-%m-%d}): {verdict.verdict}."
    )
    if verdict.why:
        typer.echo(f"No data: {verdict.why}.")
    if not verdict.features:
        return
    header = ("feature", "outcome", "p-value", "difference", "detectable", "psi", "without drift", "values")
    print_table(header, [_row(feature) for feature in verdict.features], grouped=True)
    typer.echo(
        "Differences are in standard deviations of the training set (sd), or in points of a share (pp)."
    )


def _row(feature: Feature) -> tuple[object, ...]:
    return (
        feature.name,
        feature.outcome,
        None if feature.p_value is None else f"{feature.p_value:.2g}",
        _amount(feature, feature.effect),
        _amount(feature, feature.smallest_detectable),
        feature.psi,
        feature.psi_without_drift,
        feature.rows,
    )


def _amount(feature: Feature, value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value * 100:.1f} pp" if feature.kind == "category" else f"{value:.3f} sd"
