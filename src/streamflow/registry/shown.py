"""What MLflow shows of a model, from the JSON of its API. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streamflow.mlflow_api.transport import tags_of
from streamflow.model_version import asked, tags
from streamflow.model_version.aliases import ALL_ALIASES
from streamflow.model_version.asked import Asked
from streamflow.registry import actions
from streamflow.registry.alignment import Shown
from streamflow.registry.trail import Move


def shown(
    model: Mapping[str, Any],
    versions: Iterable[Mapping[str, Any]],
    past: Sequence[Move],
    *,
    named: bool,
    own: str = "",
) -> Shown:
    """What MLflow shows of a model.

    A number whose manifest is not the one that the ledger knows is another model: a registry that was emptied counts
    from 1 again. Such a version is left out, as one that MLflow has lost.

    Args:
        model: MLflow's JSON of the registered model; empty if there is none.
        versions: MLflow's JSON of its versions.
        past: Every row of the ledger about the model.
        named: Whether MLflow's server records who moves what; if not, anybody could have written these tags.
        own: Account that the registrar itself logs in as.
    """
    items = {int(item["version"]): item for item in _known(versions, past)}
    found = {item["alias"]: int(item["version"]) for item in model.get("aliases", [])}
    aliases = {alias: found[alias] for alias in ALL_ALIASES if alias in found}
    stages = {version: str(item.get("current_stage") or "None") for version, item in items.items()}
    if not named:
        return Shown(aliases, stages)
    used = {move.facts.get(actions.ASKED_AT) for move in past}
    asked_aliases: dict[tuple[str, int | None], Asked] = {}
    asked_stages: dict[int, Asked] = {}
    for version, item in items.items():
        if said := _unused(item, asked.STAGE, used):
            asked_stages[version] = said
    for alias in ALL_ALIASES:
        at = aliases.get(alias)
        item = model if at is None else items.get(at, {})
        if said := _unused(item, asked.alias_tag(alias), used):
            asked_aliases[alias, at] = said
    withdrawn = frozenset(
        alias for (alias, at), said in asked_aliases.items() if at is None and own and said.by == own
    )
    return Shown(aliases, stages, asked_aliases, asked_stages, withdrawn)


def _known(versions: Iterable[Mapping[str, Any]], past: Sequence[Move]) -> Iterable[Mapping[str, Any]]:
    digests = {
        move.to_version: str(move.release["manifest_sha256"])
        for move in past
        if move.release.get("manifest_sha256")
    }
    for item in versions:
        if digests.get(int(item["version"])) in (None, tags_of(item).get(tags.MANIFEST_SHA256)):
            yield item


def _unused(item: Mapping[str, Any], tag: str, used: set[Any]) -> Asked | None:
    """Who asked, unless a row of the ledger has answered it: a later move is not theirs."""
    said = asked.from_tag(tags_of(item).get(tag))
    return said if said and said.at not in used else None
