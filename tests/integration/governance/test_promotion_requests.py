"""Promotions that are asked for over the registrar's API: answered once each, by a row of the ledger."""

from __future__ import annotations

import contextlib
import itertools
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from streamflow.errors import Busy, DependencyDown, PromotionConflict
from streamflow.gate import decision
from streamflow.mlflow_api.transport import RegistryClient, registry
from streamflow.model_version import tags
from streamflow.postgres.engine import transaction
from streamflow.registrar import api_answers
from streamflow.registrar.look import look
from streamflow.registry import chain, requests, trail, versions
from streamflow.registry.promote import promote

BY = "key:ci"


@pytest.fixture
def gate(monkeypatch):
    """The gate's verdict; it passes everything unless a test gives it failures."""
    verdict = SimpleNamespace(failures=(), judged=[])

    def decide(backends, promotion, version):
        verdict.judged.append(version)
        return SimpleNamespace(
            version=version,
            passed=not verdict.failures,
            failures=verdict.failures,
            summary=lambda: {"verdict": "refused" if verdict.failures else "passed"},
        )

    monkeypatch.setattr(decision, "decide", decide)
    return verdict


def ask(settings, version, to="production", key=None, why="the build is green"):
    with transaction(settings.database) as connection:
        wanted = requests.NewRequest(to, version, why, BY, key)
        return requests.ask(connection, settings.mlflow.registered_model, wanted)


def found(settings, request):
    with transaction(settings.database) as connection:
        return requests.find(connection, settings.mlflow.registered_model, request.id)


def answered(settings):
    return api_answers.answer_waiting(settings.backends, settings.promotion)


def rows(settings):
    return [
        (m.action, m.alias, m.from_version, m.to_version)
        for m in trail.history(settings.database, settings.mlflow.registered_model)
    ]


def test_a_request_for_production_takes_both_steps_through_the_gate(settings, make, gate):
    (first,) = make(1)
    request = ask(settings, first)
    assert (request.state, request.asked_by) == ("open", BY)
    (row,) = answered(settings)
    assert rows(settings) == [("promote", "staging", None, first), ("promote", "production", None, first)]
    done = found(settings, request)
    assert (done.state, done.promotion_id, done.gate) == ("done", row.promotion_id, {"verdict": "passed"})
    assert (row.moved_by, row.why, gate.judged) == (BY, "the build is green", [first])
    assert versions.by_alias(settings.mlflow, "production") == first
    assert answered(settings) == []
    # MLflow is in line, and nothing there is taken for a request.
    assert look(settings.backends, settings.promotion) == []
    chain.verify(settings.database)


def test_staging_asks_no_gate_and_then_one_step_is_left(settings, make, gate):
    (first,) = make(1)
    ask(settings, first, "staging")
    answered(settings)
    assert gate.judged == []
    ask(settings, first)
    answered(settings)
    assert [row[1] for row in rows(settings)] == ["staging", "production"]


@pytest.mark.parametrize("moves", ["gate", "accept", "revert"])
def test_the_gate_judges_whatever_holds_for_moves_in_mlflow(settings, make, gate, moves):
    (first,) = make(1)
    gate.failures = ("AUC 0.51 is below 0.60",)
    request = ask(settings, first)
    promotion = settings.promotion.model_copy(update={"outside_moves": moves})
    (row,) = api_answers.answer_waiting(settings.backends, promotion)
    refused = found(settings, request)
    assert refused.state == "refused"
    assert refused.refused == [f"The gate refuses version {first}.", "AUC 0.51 is below 0.60"]
    assert (refused.promotion_id, refused.gate) == (row.promotion_id, {"verdict": "refused"})
    assert trail.targets(settings.database, settings.mlflow.registered_model)["staging"] is None
    assert answered(settings) == []


def test_what_cannot_be_promoted_is_refused_with_the_reason(settings, make, gate):
    (first,) = make(1)
    held = versions.get(settings.mlflow, first)
    forged = versions.register(
        settings.mlflow,
        run_id=held.run_id,
        source=held.source,
        tags={**held.tags, tags.MANIFEST_SHA256: "0" * 64},
    )
    unknown, not_ours = ask(settings, 99), ask(settings, forged)
    answered(settings)
    assert "There is no version 99" in found(settings, unknown).refused[0]
    assert "no training of StreamFlow made it" in found(settings, not_ours).refused[0]
    assert gate.judged == []
    ask(settings, first)
    answered(settings)
    for to in ("production", "staging"):
        again = ask(settings, first, to)
        answered(settings)
        assert "in production already" in found(settings, again).refused[0]


def test_a_fault_of_the_registrar_is_an_answer_too(settings, make, gate, monkeypatch):
    (first,) = make(1)
    monkeypatch.setattr(decision, "decide", lambda *arguments: 1 / 0)
    request = ask(settings, first)
    answered(settings)
    assert found(settings, request).refused == ["The registrar failed at it; its log has the cause."]


def test_a_request_stays_open_while_mlflow_is_away(settings, make, gate):
    (first,) = make(1)
    request = ask(settings, first)
    nowhere = settings.mlflow.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    away = settings.model_copy(update={"mlflow": nowhere})
    with pytest.raises(DependencyDown):
        answered(away)
    assert found(settings, request).state == "open"
    answered(settings)
    assert found(settings, request).state == "done"


def test_a_champion_that_changes_while_the_gate_works_is_judged_against_again(
    settings, make, gate, monkeypatch
):
    first, second = make(2)
    judged = decision.decide

    def slow(backends, promotion, version):
        if not gate.judged:
            for alias in ("staging", "production"):
                promote(settings.backends, second, alias, why="meanwhile", by="ada")
        return judged(backends, promotion, version)

    monkeypatch.setattr(decision, "decide", slow)
    request = ask(settings, first)
    assert answered(settings) == []
    assert found(settings, request).state == "open"
    answered(settings)
    assert (found(settings, request).state, gate.judged) == ("done", [first, first])


def test_a_refusal_leaves_what_somebody_asks_for_in_mlflow_open(settings, make, gate):
    first, second = make(2)
    ask(settings, first)
    answered(settings)
    with registry(settings.mlflow) as client:
        client.set_alias(settings.mlflow.registered_model, "production", second)
    gate.failures = ("worse",)
    ask(settings, second)
    answered(settings)
    assert versions.by_alias(settings.mlflow, "production") == second
    gate.failures = ()
    (row,) = look(settings.backends, settings.promotion)
    assert (row.action, row.to_version, row.moved_by) == ("promote", second, "unknown")


def test_the_same_idempotency_key_makes_one_request(settings, make):
    (first,) = make(1)
    one = ask(settings, first, key="build-7")
    assert ask(settings, first, key="build-7").id == one.id
    assert ask(settings, first, key="build-8").id != one.id
    assert ask(settings, first).id != ask(settings, first).id
    with pytest.raises(PromotionConflict, match="asks for something else"):
        ask(settings, first, "staging", key="build-7")


def test_open_requests_have_a_largest_number(settings, monkeypatch):
    monkeypatch.setattr(requests, "MOST_OPEN", 2)
    for key in ("a", "b"):
        ask(settings, 1, key=key)
    with pytest.raises(Busy, match="2 requests wait"):
        ask(settings, 1, key="c")
    assert ask(settings, 1, key="a").state == "open"


class Killed(BaseException):
    """Ends a process in the middle; nothing catches it."""


CALLS = (
    "set_alias",
    "delete_alias",
    "set_stage",
    "set_description",
    "set_model_tag",
    "model",
    "versions",
    "file",
)


def killed_at_call(patch, step):
    """Let the given call of MLflow's client, or of the ledger, before it or after it, be the last thing done."""
    left = [step]

    def dying(original, *, after=False):
        def call(*arguments, **named):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            made = original(*arguments, **named)
            left[0] -= after
            if after and left[0] == 0:
                raise Killed
            return made

        return call

    for name in CALLS:
        patch.setattr(RegistryClient, name, dying(getattr(RegistryClient, name)))
    patch.setattr(trail, "append", dying(trail.append, after=True))


@pytest.mark.load
@pytest.mark.parametrize("passes", [True, False])
def test_killed_at_any_call_a_request_is_answered_once_and_not_left_open(
    settings, make, gate, monkeypatch, passes
):
    now, then = make(2)
    for alias in ("staging", "production"):
        promote(settings.backends, now, alias, why="a start", by="ada")
    gate.failures = () if passes else ("worse",)
    killed = 0
    steps = 24 if passes else 6
    for step in range(1, steps + 1):
        request = ask(settings, then)
        with monkeypatch.context() as patch:
            killed_at_call(patch, step)
            with contextlib.suppress(Killed):
                answered(settings)
                killed -= 1
            killed += 1
        answered(settings)
        done = found(settings, request)
        assert done.state == ("done" if passes else "refused"), step
        answers = [
            m
            for m in trail.history(settings.database, settings.mlflow.registered_model)
            if m.facts.get("request") == request.id
        ]
        assert [m.promotion_id for m in answers] == [done.promotion_id]
        look(settings.backends, settings.promotion)
        if passes:
            assert versions.by_alias(settings.mlflow, "production") == then
            now, then = then, now
    assert killed >= (15 if passes else 3)
    moved = [row for row in rows(settings) if row[1] == "production" and row[0] == "promote"]
    assert len(moved) == (steps + 1 if passes else 1)
    assert all(later[2] == earlier[3] for earlier, later in itertools.pairwise(moved))
    chain.verify(settings.database)


def test_a_second_leader_answers_nothing_twice(settings, make, gate):
    (first,) = make(1)
    request = ask(settings, first, "staging")
    answered(settings)
    assert api_answers.answer(settings.backends, settings.promotion, request) is None
    assert len(rows(settings)) == 1


FORGERIES = {
    "another version": {"to_version": 2},
    "another alias": {"alias": "production"},
    "another name": {"by": "ada"},
    "a request that does not exist": {"request": "00000000-0000-0000-0000-000000000000"},
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_the_database_refuses_a_row_that_answers_something_else(settings, forgery):
    request = ask(settings, 1, "staging")
    values = {"alias": "staging", "to_version": 1, "by": BY, "request": request.id} | FORGERIES[forgery]
    change = trail.Change(
        values["alias"],
        None,
        values["to_version"],
        "promote",
        values["by"],
        "a test",
        {"request": values["request"]},
    )
    with pytest.raises(sa.exc.IntegrityError), transaction(settings.database) as connection:
        trail.append(connection, settings.mlflow.registered_model, change)
    assert found(settings, request).state == "open"
    assert rows(settings) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE streamflow.promotion_requests SET version = 2",
        "UPDATE streamflow.promotion_requests SET why = 'another', answered_at = now(), promotion_id = 1",
        "DELETE FROM streamflow.promotion_requests",
        "TRUNCATE streamflow.promotion_requests",
    ],
)
def test_requests_are_not_changed(settings, statement):
    ask(settings, 1)
    with (
        pytest.raises(sa.exc.DBAPIError, match="append-only"),
        transaction(settings.database) as connection,
    ):
        connection.execute(sa.text(statement))


def test_a_request_begins_open_whatever_is_inserted(settings):
    with transaction(settings.database) as connection:
        connection.execute(
            sa.text(
                "INSERT INTO streamflow.promotion_requests"
                " (model, alias, version, why, asked_by, answered_at, promotion_id)"
                " VALUES (:model, 'staging', 1, 'x', 'key:ci', now(), 7)"
            ),
            {"model": settings.mlflow.registered_model},
        )
        (waiting,) = requests.waiting(connection, settings.mlflow.registered_model)
    assert waiting.state == "open"
