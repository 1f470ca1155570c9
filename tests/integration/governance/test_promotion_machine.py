"""Whatever people and processes do: the ledger decides, and MLflow shows it once the registrar has looked."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import hypothesis
import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from streamflow.errors import NotFound, PromotionConflict, Refused
from streamflow.gate import decision
from streamflow.mlflow_api import sdk
from streamflow.mlflow_api.transport import registry
from streamflow.model_version.aliases import PRODUCTION, TRIAL_ALIASES
from streamflow.postgres.engine import engine, transaction
from streamflow.postgres.names import quote
from streamflow.registrar.api_answers import answer_waiting
from streamflow.registrar.look import look
from streamflow.registry import alignment, chain, moves, requests, trail, trial
from streamflow.registry.moves import LockedRegistry
from streamflow.registry.promote import demote, promote, rollback
from streamflow.schema import prepare

WHO = {"why": "a test", "by": "ada"}
VERSION = st.integers(0, 2)


class Killed(BaseException):
    """Ends a process right after its row of the ledger."""


class Promotions(RuleBasedStateMachine):
    """People at the command line and in MLflow, a registrar, processes that are killed, and a ledger that is restored."""

    def __init__(self, settings, made):
        super().__init__()
        self.settings = settings
        self.made = made
        self.model = settings.mlflow.registered_model
        self.accepting = settings.promotion.model_copy(update={"outside_moves": "accept"})
        self.looked = True
        self.copies = f"{settings.database.name}_copy"
        self.look()
        self.back_up()

    def teardown(self):
        self.replace(self.copies)

    def replace(self, name, by=None):
        """Drop a database, and make it anew as a copy of another one."""
        engine(self.settings.database).dispose()
        with prepare.autocommit(self.settings.database, "postgres") as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {quote(name)} WITH (FORCE)")
            if by is not None:
                connection.exec_driver_sql(f"CREATE DATABASE {quote(name)} TEMPLATE {quote(by)}")

    @rule()
    def back_up(self):
        self.replace(self.copies, self.settings.database.name)

    @rule()
    def restore_the_ledger(self):
        """MLflow has moved on; what it shows beyond the restored ledger is asked for again."""
        self.replace(self.settings.database.name, self.copies)
        self.looked = False

    def targets(self):
        return trail.targets(self.settings.database, self.model)

    def allowed(self, action, *arguments, **named):
        """Do what the rules may refuse."""
        before = self.targets()
        try:
            action(*arguments, **named, **WHO)
        except (Refused, NotFound):
            assert self.targets() == before

    @rule(index=VERSION, alias=st.sampled_from(["staging", "production"]))
    def promote(self, index, alias):
        self.allowed(promote, self.settings.backends, self.made[index], alias)

    @rule()
    def roll_back(self):
        self.allowed(rollback, self.settings.backends)

    @rule(alias=st.sampled_from(["staging", "production"]))
    def demote(self, alias):
        self.allowed(demote, self.settings.backends, alias)

    @rule(index=VERSION, alias=st.sampled_from(TRIAL_ALIASES))
    def start_trial(self, index, alias):
        self.allowed(trial.start, self.settings.backends, self.made[index], alias)

    @rule(index=VERSION)
    def promote_and_be_killed(self, index):
        follow = LockedRegistry.follow

        def killed(*arguments):
            raise Killed

        LockedRegistry.follow = killed
        try:
            self.allowed(promote, self.settings.backends, self.made[index], "staging")
        except Killed:
            self.looked = False
        finally:
            LockedRegistry.follow = follow

    @rule(index=st.none() | VERSION, alias=st.sampled_from(["production", "staging", "canary"]))
    def move_an_alias_in_mlflow(self, index, alias):
        with registry(self.settings.mlflow) as client:
            if index is None:
                client.delete_alias(self.model, alias)
            else:
                client.set_alias(self.model, alias, self.made[index])
        self.looked = False

    @rule(index=VERSION, stage=st.sampled_from(["None", "Staging", "Production", "Archived"]))
    def move_a_stage_in_mlflow(self, index, stage):
        with sdk.client(self.settings.mlflow), registry(self.settings.mlflow) as client:
            client.set_stage(self.model, self.made[index], stage)
        self.looked = False

    @rule(index=VERSION, alias=st.sampled_from(["staging", "production"]))
    def ask_over_the_api(self, index, alias):
        """Each request is answered once, by a row that did what was asked, or changed nothing."""
        before = self.targets()
        with transaction(self.settings.database) as connection:
            wanted = requests.NewRequest(alias, self.made[index], "a test", "key:ci")
            asked_for = requests.ask(connection, self.model, wanted)
        (row,) = answer_waiting(self.settings.backends, self.settings.promotion)
        with transaction(self.settings.database) as connection:
            answer = requests.find(connection, self.model, asked_for.id)
            assert requests.waiting(connection, self.model) == []
        assert answer.promotion_id == row.promotion_id
        if answer.state == "done":
            assert self.targets()[alias] == self.made[index] != before[alias]
        else:
            assert self.targets() == before

    @rule()
    def look(self):
        """The registrar looks until nothing is asked for; three looks are enough, because nobody asks meanwhile."""
        for _ in range(3):
            # Of two requests seen in one look, the first may move what the second is about, which is asked again then.
            with contextlib.suppress(PromotionConflict):
                look(self.settings.backends, self.accepting)
        assert look(self.settings.backends, self.accepting) == []
        self.looked = True

    @invariant()
    def mlflow_shows_the_ledger_once_the_registrar_has_looked(self):
        if not self.looked:
            return
        targets = self.targets()
        with moves.promotion_lock(self.settings.database, self.settings.mlflow) as locked:
            shown = locked.shown(locked.history())
        assert shown.aliases == {alias: at for alias, at in targets.items() if at is not None}
        standing = {v: s for v, s in shown.stages.items() if s in alignment.STAGES.values()}
        assert standing == alignment.stages_of(targets)

    @invariant()
    def what_may_be_served_is_stored_and_the_chain_holds(self):
        chain.verify(self.settings.database)
        with transaction(self.settings.database) as connection:
            missing = connection.execute(
                sa.text(
                    "SELECT alias FROM streamflow.current_releases c"
                    " WHERE version IS NOT NULL AND alias <> 'staging' AND NOT EXISTS ("
                    " SELECT FROM streamflow.releases r WHERE r.manifest_sha256 = c.manifest_sha256)"
                )
            ).all()
        assert missing == []

    @invariant()
    def nothing_is_served_that_was_not_trained_here(self):
        with transaction(self.settings.database) as connection:
            untrained = connection.execute(
                sa.text(
                    "SELECT alias FROM streamflow.current_releases c"
                    " WHERE version IS NOT NULL AND NOT EXISTS ("
                    " SELECT FROM streamflow.trained_models t"
                    " WHERE t.model = c.model AND t.manifest_sha256 = c.manifest_sha256)"
                )
            ).all()
        assert untrained == []

    @invariant()
    def no_version_is_on_trial_against_itself(self):
        targets = self.targets()
        assert not [
            alias
            for alias in TRIAL_ALIASES
            if targets[alias] is not None and targets[alias] == targets[PRODUCTION]
        ]


def test_the_ledger_and_mlflow_agree_whatever_happens(settings, make, monkeypatch):
    made = make(3)
    # There is no data to judge by: the gate passes everything.
    passed = SimpleNamespace(passed=True, summary=lambda: {"verdict": "passed"})
    monkeypatch.setattr(decision, "decide", lambda *arguments: passed)
    run_state_machine_as_test(
        lambda: Promotions(settings, made),
        settings=hypothesis.settings(
            max_examples=5,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
