"""MLflow's aliases and stages compared with the ledger: what somebody asks for there, and what MLflow lacks. Pure.

What is compared, as in a merge of two branches:

    states  what the ledger said when MLflow was last brought in line, after each row since then, and what it says now
    shown   what MLflow shows

What MLflow shows and no state of the ledger explains, somebody moved there: that is a request. What the ledger says now
and MLflow does not show yet is written to MLflow. All states since then count: each may have been written in part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from streamflow.model_version.aliases import ALL_ALIASES, PRODUCTION, STAGING
from streamflow.model_version.asked import Asked

Targets = Mapping[str, int | None]
"""The version that each alias stands for; None when it stands for none."""

STAGES: Mapping[str, str] = {PRODUCTION: "Production", STAGING: "Staging"}
"""MLflow's stage that mirrors an alias."""

ARCHIVED = "Archived"


@dataclass(frozen=True)
class Shown:
    """What MLflow shows of a registered model.

    Attributes:
        aliases: Version that each alias points at; without those that are not set.
        stages: Stage of each version, without those that are not what the ledger means by their number.
        asked_aliases: Who last pointed an alias at a version (None: took it away), if MLflow's server records it.
        asked_stages: Who last moved a version to a stage, if MLflow's server records it.
        withdrawn: Aliases that the registrar itself took away last, which therefore nobody asks to take away.
    """

    aliases: Mapping[str, int]
    stages: Mapping[int, str]
    asked_aliases: Mapping[tuple[str, int | None], Asked] = field(default_factory=dict)
    asked_stages: Mapping[int, Asked] = field(default_factory=dict)
    withdrawn: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Request:
    """A move that somebody made in MLflow, which asks for the same move of the ledger.

    Attributes:
        alias: The alias.
        version: The version asked for; None asks that the alias stands for none.
        by: What was moved in MLflow: "alias" or "stage".
        asked: Who moved it; None if MLflow's server does not record it.
    """

    alias: str
    version: int | None
    by: str
    asked: Asked | None = None


@dataclass(frozen=True)
class SetAlias:
    """An alias that MLflow is to point at a version; None takes the alias away."""

    alias: str
    version: int | None


@dataclass(frozen=True)
class SetStage:
    """A stage that MLflow is to show of a version."""

    version: int
    stage: str


Write = SetAlias | SetStage


def stages_of(targets: Targets) -> dict[int, str]:
    """The stage of each version that an alias with a stage stands for; production counts before staging."""
    found = {}
    for alias in (STAGING, PRODUCTION):
        version = targets[alias]
        if version is not None:
            found[version] = STAGES[alias]
    return found


def requests(states: Sequence[Targets], shown: Shown) -> list[Request]:
    """What somebody asks for in MLflow, at most one request an alias; production comes first.

    Where an alias and a stage ask for different versions, the later one counts if MLflow's server recorded when, else the
    alias. A version that MLflow has lost asks for nothing: an emptied registry must not end what is served.

    Args:
        states: The ledger since MLflow was last brought in line, oldest first; the last is the present one.
        shown: What MLflow shows.
    """
    found = []
    for alias in ALL_ALIASES:
        known = [state[alias] for state in states]
        by_alias = _by_alias(alias, known, shown)
        by_stage = _by_stage(alias, known, shown) if alias in STAGES else None
        request = _later(by_alias, by_stage)
        if request is not None:
            found.append(request)
    return found


def _later(by_alias: Request | None, by_stage: Request | None) -> Request | None:
    if by_alias is None or by_stage is None:
        return by_alias or by_stage
    if by_alias.asked and by_stage.asked and by_stage.asked.at > by_alias.asked.at:
        return by_stage
    return by_alias


def _by_alias(alias: str, known: Sequence[int | None], shown: Shown) -> Request | None:
    at = shown.aliases.get(alias)
    if at in known or (at is None and (known[-1] not in shown.stages or alias in shown.withdrawn)):
        return None
    return Request(alias, at, "alias", shown.asked_aliases.get((alias, at)))


def _by_stage(alias: str, known: Sequence[int | None], shown: Shown) -> Request | None:
    stage = STAGES[alias]
    there = [version for version, at in shown.stages.items() if at == stage and version not in known]
    if there:
        asked = {version: _asked_for_stage(version, shown) for version in there}
        newest = max(there, key=lambda version: (each.at if (each := asked[version]) else "", version))
        return Request(alias, newest, "stage", asked[newest])
    current = known[-1]
    if current is None or set(known) != {current} or current not in shown.stages:
        return None
    # A version on its way from staging to production asks for production, not to leave staging.
    left = shown.stages[current] not in (stage, STAGES[PRODUCTION])
    return Request(alias, None, "stage", _asked_for_stage(current, shown)) if left else None


def _asked_for_stage(version: int, shown: Shown) -> Asked | None:
    """Who moved a version to the stage that it shows."""
    asked = shown.asked_stages.get(version)
    return asked if asked and asked.stage == shown.stages[version] else None


def writes(states: Sequence[Targets], shown: Shown, forced: Collection[str] = ()) -> list[Write]:
    """What has to be written to MLflow so that it shows what the ledger says.

    Args:
        states: The ledger since MLflow was last brought in line, oldest first; the last is the present one.
        shown: What MLflow shows.
        forced: Aliases that are written although somebody moved them in MLflow: their requests were answered.
    """
    ours = states[-1]
    open_requests = [each for each in requests(states, shown) if each.alias not in forced]
    found: list[Write] = [
        *_alias_writes(ours, shown, {each.alias for each in open_requests if each.by == "alias"})
    ]
    # The stages that an open request is about are left as they are: its version's, and that of the one it replaces.
    about = [each for each in open_requests if each.by == "stage"]
    left = {each.version for each in about} | {ours[each.alias] for each in about}
    wanted = stages_of(ours)
    # Versions that an alias stands for come first, so that the stage Production is at no time empty.
    for version in sorted(shown.stages, key=lambda version: (version not in wanted, -version)):
        stage, should = shown.stages[version], wanted.get(version)
        if version in left or stage == should or (should is None and stage not in STAGES.values()):
            continue
        found.append(SetStage(version, should or ARCHIVED))
    return found


def _alias_writes(ours: Targets, shown: Shown, left: Collection[str]) -> list[SetAlias]:
    found = []
    for alias in ALL_ALIASES:
        # An alias cannot point at a version that MLflow has lost, and must not point at another one.
        goal = ours[alias] if ours[alias] in shown.stages else None
        if alias not in left and shown.aliases.get(alias) != goal:
            found.append(SetAlias(alias, goal))
    return found
