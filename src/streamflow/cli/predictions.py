"""`streamflow predict` and `streamflow score`: entities online, and all of them in batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from streamflow.cli.dates import AsOf
from streamflow.cli.entity import words
from streamflow.cli.output import AsJson, print_json, print_table, working


def predict(
    entities: Annotated[list[str], typer.Argument(metavar="KEY…", help="Keys of one or more entities.")],
    as_json: AsJson = False,
) -> None:
    """Ask the predict service for predictions; exit 3 if it refuses one.

    Example: streamflow predict 7590-VHVEG 5575-GNVDE
    """
    from streamflow import settings as settings_module
    from streamflow.cli import service
    from streamflow.client import NotPermitted, RequestRefused, UnknownEntity
    from streamflow.errors import Refused

    settings = settings_module.load().predict
    answers: list[Mapping[str, Any]] = []
    refused = False
    with service.client(settings) as client:
        for entity in entities:
            try:
                answers.append(client.predict(entity).document)
            except (RequestRefused, UnknownEntity, NotPermitted) as error:
                refused = True
                answers.append(
                    {
                        settings.join_key: entity,
                        "code": error.code,
                        "detail": error.what,
                        "details": error.details,
                        **{
                            name: value
                            for name, value in error.problem.document.items()
                            if name in ("reason", "features", "views")
                        },
                    }
                )
    if as_json:
        print_json({"predictions": answers})
    else:
        _show(settings.join_key, answers)
    if refused:
        raise typer.Exit(Refused.exit_code)


def _show(key: str, answers: list[Mapping[str, Any]]) -> None:
    rows = [
        (item.get(key), item.get("probability"), item.get("prediction"), _version(item))
        for item in answers
        if "code" not in item
    ]
    if rows:
        print_table((key, "probability", "prediction", "version"), rows)
    for item in answers:
        if "code" in item:
            typer.echo(f"No prediction for {item[key]} ({item['code']}): {item['detail']}")
            for line in item["details"]:
                typer.echo(f"  - {line}")


def _version(item: Mapping[str, Any]) -> object:
    model = item.get("model")
    return model.get("version") if isinstance(model, dict) else item.get("model_version")


_REASONS = {
    "no_row": "absent from a feature view",
    "null_values": "without a required value",
    "stale": "with features that are too old",
    "unknown_category": "with a category the model does not know",
    "not_finite": "without a number from the model",
}


def score(
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Score every entity with the production model, into the table streamflow.scores.

    Example: streamflow score --as-of 2024-02-29
    """
    from streamflow import settings as settings_module
    from streamflow.jobs.score import score_as_of

    settings = settings_module.load()
    with working("Scoring", quiet=as_json):
        scored = score_as_of(settings, as_of)
    if as_json:
        print_json(scored)
        return
    named = words(settings)
    typer.echo(
        f"Version {scored.version} of {scored.model} scored {named.count(scored.scored)} as of {scored.as_of:%Y-%m-%d}"
        f" in {scored.seconds:.1f} s: {scored.positive:,} are predicted positive."
    )
    if scored.refused:
        reasons = ", ".join(f"{count:,} {_REASONS[reason]}" for reason, count in scored.refused.items())
        typer.echo(f"No score for {named.count(sum(scored.refused.values()))}: {reasons}.")
    if scored.features:
        print_table(("lacking", named.many), list(scored.features.items()), grouped=True)
    typer.echo(f"They are in streamflow.scores under scoring_id {scored.scoring_id}.")
