"""Move an alias: the ledger's row decides, then MLflow is brought in line; what fails there is done later."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from streamflow import log
from streamflow.errors import AccessDenied, StreamFlowError
from streamflow.mlflow_api.transport import RegistryClient, registry, tags_of
from streamflow.model_version import tags
from streamflow.model_version.aliases import TRIAL_ALIASES
from streamflow.postgres import locks, statements
from streamflow.registry import actions, alignment, chain, describe, shown, trail, transitions
from streamflow.registry.alignment import Request, SetStage, Shown, Targets, Write
from streamflow.registry.trail import Change, Move
from streamflow.settings import DatabaseSettings, MlflowSettings

_SQL = statements.load(Path(__file__).with_name("queries.sql"))
_LOG = log.get(__name__)
_WAIT_SECONDS = 60


@dataclass(frozen=True)
class LockedRegistry:
    """The ledger of a model and MLflow's registry, while this process holds the promotion lock.

    Attributes:
        model: Registered model.
        connection: Connection that holds the lock and commits each statement.
        client: Client of MLflow's registry.
        named: Whether MLflow's server records who moves what.
        account: Account that this process logs in to MLflow as; "" without a login.
    """

    model: str
    connection: sa.Connection
    client: RegistryClient
    named: bool = False
    account: str = ""

    def history(self) -> list[Move]:
        """Every row of the ledger about the model, oldest first."""
        return trail.read(self.connection, self.model)

    def targets(self) -> Targets:
        """The version that each alias stands for by the ledger."""
        return transitions.recorded(self.history())

    def move(self, change: Change) -> Move:
        """Write the row that moves an alias, then bring MLflow in line.

        What MLflow does not take now, the registrar does later.
        """
        row = trail.append(self.connection, self.model, change)
        try:
            self.follow({change.alias})
        except AccessDenied:
            # Trainings register versions and move none in MLflow.
            _LOG.info("the registrar brings MLflow in line with the ledger")
        except Exception as error:
            # The move is made. A caller who took this for a failure would make it twice.
            _LOG.warning("MLflow is not in line with the ledger yet", **log.describe(error))
        return row

    def end_trials(
        self, targets: Mapping[str, int | None], versions: Collection[int | None], *, by: str, why: str
    ) -> None:
        """End the trials of versions that enter or leave production; the move that follows brings MLflow in line.

        Args:
            targets: Version that each alias stands for.
            versions: The versions whose trials end.
            by: Who ends them.
            why: The reason given.
        """
        for alias in TRIAL_ALIASES:
            version = targets.get(alias)
            if version is not None and version in versions:
                trail.append(
                    self.connection, self.model, Change(alias, version, None, actions.END_TRIAL, by, why)
                )

    def record(self, change: Change) -> Move:
        """Write a row that moves nothing."""
        row = trail.append(self.connection, self.model, change)
        self.anchor(row)
        return row

    def follow(self, forced: Collection[str] = ()) -> list[Request]:
        """Write to MLflow what the ledger says; may be repeated.

        Args:
            forced: Aliases that are written although somebody moved them in MLflow.

        Returns:
            What somebody asks for in MLflow and was not answered yet.

        Raises:
            DependencyDown: MLflow does not answer.
        """
        past, line = self.history(), self._in_line()
        states = transitions.states(past, sum(move.promotion_id <= line for move in past))
        seen = self.shown(past)
        asked = alignment.requests(states, seen)
        later = [move for move in past if move.promotion_id > line]
        # A refused request that MLflow still shows: it was not put back before the process ended.
        refused = {
            (move.alias, move.facts[actions.REQUESTED])
            for move in later
            if actions.REQUESTED in move.facts and actions.REQUEST not in move.facts
        }
        answered = {each.alias for each in asked if (each.alias, each.version) in refused} | set(forced)
        for write in alignment.writes(states, seen, answered):
            self._write(write)
        self._describe(later, seen)
        if later:
            newest = {"model": self.model, "promotion_id": later[-1].promotion_id}
            self.connection.execute(sa.text(_SQL["set_in_line"]), newest)
            self.anchor(later[-1])
        return [each for each in asked if each.alias not in answered]

    def _describe(self, later: list[Move], seen: Shown) -> None:
        """Describe the versions that rows are about; best effort."""
        reports = describe.reports(later)
        for version, text in describe.descriptions(later).items():
            if version in seen.stages:
                links = self._links(version, reports.get(version, ""))
                with contextlib.suppress(StreamFlowError):
                    self.client.set_description(self.model, version, text + links)

    def _links(self, version: int, report: str) -> str:
        """Links to what MLflow has of a version; "" if its run is gone. What was refused has its report in a tag."""
        with contextlib.suppress(StreamFlowError):
            found = self.client.version(self.model, version) or {}
            run_id = str(found.get("run_id", ""))
            report = report or tags_of(found).get(tags.GATE_REPORT, "")
            return describe.links(self.client.experiment_of(run_id), run_id, report)
        return ""

    def _in_line(self) -> int:
        found = self.connection.execute(sa.text(_SQL["in_line"]), {"model": self.model}).scalar()
        return int(found or 0)

    def shown(self, past: Sequence[Move]) -> Shown:
        """What MLflow shows of the model.

        Args:
            past: Every row of the ledger about the model.

        Raises:
            DependencyDown: MLflow does not answer.
        """
        model = self.client.model(self.model) or {}
        return shown.shown(model, self.client.versions(self.model), past, named=self.named, own=self.account)

    def _write(self, write: Write) -> None:
        if isinstance(write, SetStage):
            self.client.set_stage(self.model, write.version, write.stage)
        elif write.version is None:
            self.client.delete_alias(self.model, write.alias)
        else:
            self.client.set_alias(self.model, write.alias, write.version)

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
    """Hold the promotion lock; yield the ledger and MLflow's registry.

    A second caller waits here, and then sees what the first one did.

    Raises:
        DependencyDown: PostgreSQL does not answer.
        Refused: Another process held the lock for too long.
    """
    model = mlflow.registered_model
    with (
        locks.held(database, locks.of_promotions(model), _WAIT_SECONDS) as connection,
        registry(mlflow) as client,
    ):
        yield LockedRegistry(model, connection, client, mlflow.names_moves, mlflow.username)


def anchor(mlflow: MlflowSettings) -> str:
    """The row that MLflow names as the ledger's newest, as "number:hash"; "" when it names none."""
    with registry(mlflow) as client:
        return _anchor(client, mlflow.registered_model)


def _anchor(client: RegistryClient, model: str) -> str:
    return client.model_tags(model).get(tags.AUDIT, "")
