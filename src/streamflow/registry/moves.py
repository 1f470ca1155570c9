"""Move one alias: announced before and recorded after, so that a crash in between is noticed and completed."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.errors import StreamFlowError
from streamflow.mlflow_api.transport import RegistryClient, registry
from streamflow.model_version import tags
from streamflow.model_version.aliases import PRODUCTION, STAGING, TRIAL_ALIASES
from streamflow.postgres import locks, statements
from streamflow.registry import actions, chain, trail, versions
from streamflow.registry.trail import Change, Move
from streamflow.registry.versions import Version
from streamflow.settings import DatabaseSettings, MlflowSettings

STAGES: dict[str, str] = {PRODUCTION: "Production", STAGING: "Staging"}
"""MLflow stage that mirrors an alias."""

_SQL = statements.load(Path(__file__).with_name("queries.sql"))
_ARCHIVED = "Archived"
_WAIT_SECONDS = 60


@dataclass(frozen=True)
class LockedRegistry:
    """The registered model's aliases and their audit trail, while this process holds the promotion lock.

    Attributes:
        model: Registered model.
        connection: Connection that holds the lock and commits each statement.
        client: Client of MLflow's registry.
    """

    model: str
    connection: sa.Connection
    client: RegistryClient

    def history(self) -> list[Move]:
        """Every row of the trail about the model, oldest first."""
        return trail.read(self.connection, self.model)

    def version(self, number: int) -> Version:
        """One version of the model.

        Raises:
            NotFound: There is no such version.
        """
        return versions.read(self.client, self.model, number)

    def target(self, alias: str) -> int | None:
        """Version that an alias points at in MLflow; None when it is unset."""
        return self.client.alias(self.model, alias)

    def move(self, change: Change) -> Move:
        """Announce a change, make it, record it. The next command completes what fails after the announcement."""
        announcement = sa.text(_SQL["announce_move"])
        intent_id: int = self.connection.execute(announcement, change.parameters(self.model)).scalar_one()
        self.point(change.alias, change.to_version)
        row = trail.append(self.connection, self.model, change, intent_id=intent_id)
        self.anchor(row)
        return row

    def record(self, change: Change) -> Move:
        """Write a row about a change that was made already."""
        row = trail.append(self.connection, self.model, change)
        self.anchor(row)
        return row

    def end_trials(
        self, targets: Mapping[str, int | None], versions: Collection[int | None], *, by: str, why: str
    ) -> None:
        """End the trials of versions that enter or leave production.

        Args:
            targets: Version that each alias points at.
            versions: The versions whose trials end.
            by: Who ends them.
            why: The reason given.
        """
        for alias in TRIAL_ALIASES:
            version = targets.get(alias)
            if version is not None and version in versions:
                self.move(Change(alias, version, None, actions.END_TRIAL, by, why))

    def open_intents(self) -> list[Any]:
        """Announcements without a row in the trail, oldest first."""
        return list(self.connection.execute(sa.text(_SQL["open_announcements"]), {"model": self.model}))

    def complete(self, intent: Any) -> Move:
        """Complete a move that was interrupted: record it when its alias was moved, else record that it was not."""
        moved = self.target(intent.alias) == intent.to_version
        if moved:
            # The alias may have been moved without the stages that mirror it.
            self.point(intent.alias, intent.to_version)
        row = trail.append(
            self.connection,
            self.model,
            Change(
                alias=intent.alias,
                from_version=intent.from_version,
                to_version=intent.to_version if moved else intent.from_version,
                action=intent.action if moved else actions.ABANDON,
                by=intent.begun_by,
                why=intent.why,
                facts={**intent.facts, "recovered": True, "intended": intent.to_version},
                release=intent.release if moved else {},
                gate=intent.gate,
            ),
            intent_id=intent.intent_id,
            moved_at=intent.begun_at,
        )
        self.anchor(row)
        return row

    def point(self, alias: str, version: int | None) -> None:
        """Set an alias (None unsets it) and mirror it in the stages; may be repeated."""
        if version is None:
            self.client.delete_alias(self.model, alias)
        else:
            self.client.set_alias(self.model, alias, version)
            if alias == PRODUCTION and self.target(STAGING) == version:
                self.client.delete_alias(self.model, STAGING)
        self.mirror_stages()

    def mirror_stages(self) -> list[str]:
        """Set MLflow's stages by the aliases, so that readers of `models:/NAME/Production` see the same version.

        Returns:
            What had to be changed, a sentence each.
        """
        wanted = {at: STAGES[alias] for alias in reversed(STAGES) if (at := self.target(alias))}
        changed = []
        # Versions that an alias names come first, so that the stage Production is at no time empty.
        for item in sorted(
            self.client.versions(self.model), key=lambda item: int(item["version"]) not in wanted
        ):
            version, stage = int(item["version"]), str(item.get("current_stage", "None"))
            should = wanted.get(version)
            if should == stage or (should is None and stage not in STAGES.values()):
                continue
            self.client.set_stage(self.model, version, should or _ARCHIVED)
            changed.append(f"version {version} was in stage {stage}, which is now {should or _ARCHIVED}")
        return changed

    def anchor(self, row: Move, *, acknowledged: bool = False) -> None:
        """Tag MLflow with the newest hash to detect truncation; best effort.

        Args:
            row: The newest row.
            acknowledged: Move the anchor even when the chain has lost the row that it names.
        """
        with contextlib.suppress(StreamFlowError):
            if acknowledged or chain.has_row(self.connection, self.read_anchor()):
                self.client.set_model_tag(self.model, tags.AUDIT, f"{row.promotion_id}:{row.hash}")

    def read_anchor(self) -> str:
        """The anchor, as "number:hash"; "" when MLflow has none."""
        return _anchor(self.client, self.model)


@contextlib.contextmanager
def promotion_lock(database: DatabaseSettings, mlflow: MlflowSettings) -> Iterator[LockedRegistry]:
    """Hold the promotion lock; yield the registry, connected to PostgreSQL and MLflow.

    A second caller waits here, and then sees what the first one did.

    Raises:
        DependencyDown: PostgreSQL or MLflow does not answer.
        Refused: Another process held the lock for too long.
    """
    model = mlflow.registered_model
    with (
        locks.held(database, locks.of_promotions(model), _WAIT_SECONDS) as connection,
        registry(mlflow) as client,
    ):
        yield LockedRegistry(model, connection, client)


def anchor(mlflow: MlflowSettings) -> str:
    """The row that MLflow names as the trail's newest, as "number:hash"; "" when it names none."""
    with registry(mlflow) as client:
        return _anchor(client, mlflow.registered_model)


def _anchor(client: RegistryClient, model: str) -> str:
    return client.model_tags(model).get(tags.AUDIT, "")
