"""When a challenger takes over by itself."""

from streamflow.gate.policy import takes_over
from streamflow.gate.report import GateReport
from streamflow.gate.rules import Rule


def report(verdict, champion=3):
    rules = (Rule("improvement", verdict == "passed", "AUC +0.02"), Rule("latency", True, "quick"))
    return GateReport("m", 4, champion, verdict, "now", rules, {}, {}, "gate/version-4")


def test_what_passes_the_gate_takes_over_when_the_policy_is_automatic():
    assert takes_over(report("passed"), "automatic", "") == (True, "passed the gate against version 3")
    assert takes_over(report("passed", None), "automatic", "") == (
        True,
        "passed the gate as the first version",
    )


def test_what_passes_the_gate_waits_for_a_person_when_the_policy_is_manual():
    promoted, why = takes_over(report("passed"), "manual", "")
    assert not promoted
    assert "waits for a person: streamflow models promote 4" in why


def test_what_the_gate_refuses_never_takes_over():
    for policy in ("automatic", "manual", ""):
        assert takes_over(report("failed"), policy, "") == (
            False,
            "the gate refused it: improvement: AUC +0.02",
        )


def test_what_passes_the_gate_waits_while_automatic_promotion_is_paused():
    promoted, why = takes_over(report("passed"), "automatic", "Paused. Resume it.")
    assert not promoted
    assert why == "passed the gate against version 3 and waits: Paused. Resume it."
