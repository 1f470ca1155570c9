"""A promotion to production goes through the gate; one to staging does not."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from streamflow.errors import NotFound, Refused, ReleaseUnfit
from streamflow.gate import decision
from streamflow.gate.decision import decide, promote_through_gate
from streamflow.gate.facts import Facts
from streamflow.gate.report import report_on
from streamflow.registry.transitions import UNCHECKED
from streamflow.settings import PromotionSettings, Settings

BACKENDS = Settings().backends
WHO = {"why": "a test", "by": "ada"}
PASSES = Facts(4, 3, "", None, None, None, "", None, None, (), {}, None, 0.5)


def report(facts):
    # Without the rule that compares, a version with a champion passes on what is known of it.
    found = report_on(facts, PromotionSettings(), "churn", datetime(2024, 3, 1, tzinfo=UTC))
    kept = tuple(rule for rule in found.rules if rule.name != "improvement")
    return SimpleNamespace(
        version=found.version,
        champion=found.champion,
        passed=all(rule.passed for rule in kept),
        failures=tuple(f"{rule.name}: {rule.reason}" for rule in kept if not rule.passed),
        summary=lambda despite: {"verdict": "passed", "despite": despite},
    )


@pytest.fixture
def registry(monkeypatch):
    """The aliases of a registry that exists in name alone, and the promotions that reach it."""
    state = SimpleNamespace(production=3, staging=4, facts=PASSES, judged=[], promoted=[], known=None)

    def judge(backends, promotion, version):
        state.judged.append(version)
        return report(state.facts)

    def promote(backends, version, alias, **arguments):
        state.promoted.append((version, alias, arguments))
        return "moved"

    def get(mlflow, version):
        if version > 4:
            raise NotFound(f"There is no version {version}.")
        return SimpleNamespace(run_id="r")

    def check_known(database, model, version):
        if state.known is not None:
            raise state.known

    monkeypatch.setattr(decision, "decide", judge)
    monkeypatch.setattr(decision, "promote", promote)
    monkeypatch.setattr(decision.versions, "get", get)
    monkeypatch.setattr(decision.artifacts, "check_known", check_known)
    monkeypatch.setattr(
        decision.trail,
        "targets",
        lambda database, model: {"production": state.production, "staging": state.staging},
    )
    return state


def test_a_promotion_to_staging_asks_no_gate(registry):
    assert promote_through_gate(BACKENDS, PromotionSettings(), 2, "staging", expected=4, **WHO) == "moved"
    assert registry.judged == []
    assert registry.promoted == [(2, "staging", {"expected": 4, **WHO})]


def test_what_passes_the_gate_replaces_the_champion_that_it_was_judged_against(registry):
    assert promote_through_gate(BACKENDS, PromotionSettings(), 4, "production", **WHO) == "moved"
    gate = {"verdict": "passed", "despite": False}
    assert registry.promoted == [(4, "production", {"expected": 3, "gate": gate, **WHO})]
    promote_through_gate(BACKENDS, PromotionSettings(), 4, "production", expected=2, **WHO)
    assert registry.promoted[-1][2]["expected"] == 2


def test_the_first_version_replaces_nothing(registry):
    registry.production, registry.facts = (
        None,
        Facts(4, None, "", None, None, None, "", None, None, (), {}, None, 0.5),
    )
    promote_through_gate(BACKENDS, PromotionSettings(), 4, "production", **WHO)
    assert registry.promoted[0][2]["expected"] is None
    assert registry.promoted[0][2]["expected"] is not UNCHECKED


def test_what_the_gate_refuses_is_not_promoted(registry):
    registry.facts = Facts(4, 3, "model.onnx is gone", None, None, None, "", None, None, (), {}, None, 0.5)
    with pytest.raises(Refused) as raised:
        promote_through_gate(BACKENDS, PromotionSettings(), 4, "production", **WHO)
    assert raised.value.what == "The gate refuses version 4."
    assert raised.value.details == ("files and golden rows: model.onnx is gone",)
    assert raised.value.hint == (
        "See 'streamflow gate 4'. Train a better version, or promote with --despite-gate."
    )
    assert registry.promoted == []


def test_the_gate_can_be_overruled_and_the_trail_says_so(registry):
    registry.facts = Facts(4, 3, "model.onnx is gone", None, None, None, "", None, None, (), {}, None, 0.5)
    promote_through_gate(BACKENDS, PromotionSettings(), 4, "production", despite_gate=True, **WHO)
    assert registry.promoted[0][2]["gate"] == {"verdict": "passed", "despite": True}


def test_overruling_a_gate_that_passes_is_no_overruling(registry):
    promote_through_gate(BACKENDS, PromotionSettings(), 4, "production", despite_gate=True, **WHO)
    assert registry.promoted[0][2]["gate"]["despite"] is False


def test_what_a_check_refused_before_does_not_reach_the_gate(registry):
    registry.known = ReleaseUnfit("refused before", hint="", why="")
    with pytest.raises(ReleaseUnfit):
        promote_through_gate(
            BACKENDS, PromotionSettings(), 4, "production", despite_gate=True, expected=3, **WHO
        )
    assert registry.judged == registry.promoted == []


@pytest.mark.parametrize(("version", "error"), [(2, Refused), (3, Refused), (9, NotFound)])
def test_a_step_that_is_not_allowed_does_not_reach_the_gate(registry, version, error):
    with pytest.raises(error):
        promote_through_gate(BACKENDS, PromotionSettings(), version, "production", **WHO)
    assert registry.judged == registry.promoted == []


def test_the_version_in_production_is_not_judged(monkeypatch):
    monkeypatch.setattr(decision.versions, "get", lambda mlflow, version: SimpleNamespace(run_id="r"))
    monkeypatch.setattr(decision.trail, "targets", lambda database, model: {"production": 3})
    with pytest.raises(Refused) as raised:
        decide(BACKENDS, PromotionSettings(), 3)
    assert raised.value.what == "Version 3 is in production itself; there is nothing to judge it against."
    assert raised.value.hint == "'streamflow models show production' shows its last report."
