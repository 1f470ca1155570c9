"""The gate's report: its verdict, what the audit trail says of it, and its page."""

import hashlib
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime

import pytest

from streamflow.gate.facts import Facts, SliceFigures
from streamflow.gate.page import page
from streamflow.gate.report import report_on
from streamflow.settings import PromotionSettings

LIMITS = PromotionSettings()
NOW = datetime(2024, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
FIRST = Facts(
    version=4,
    champion=None,
    refused="",
    holdout_auc=(0.82, 0.80, 0.84),
    holdout_calibration=(0.03, 0.02, 0.06),
    compared=None,
    not_compared="",
    as_of=datetime(2024, 2, 29, tzinfo=UTC),
    champion_as_of=None,
    slices=(SliceFigures("contract", "yearly", 200, 40, 0.7, 0.72, 190, 0.71),),
    online={},
    contract=None,
    latency_p99_ms=0.5,
)
REFUSED = replace(FIRST, champion=3, refused="model.onnx is gone", not_compared="model.onnx is gone")


def report(facts):
    return report_on(facts, LIMITS, "churn", NOW)


def test_a_version_that_passes_every_rule_passed():
    found = report(FIRST)
    assert (found.verdict, found.passed, found.failures) == ("passed", True, ())
    assert (found.model, found.version, found.champion) == ("churn", 4, None)
    assert found.judged_at == "2024-03-01T12:30:15+00:00"
    assert found.artifact == "gate/version-4-first-20240301T123015.250000Z"
    assert found.limits["min_improvement"] == LIMITS.min_improvement
    assert found.limits.items() <= LIMITS.model_dump().items()
    assert not {name for name in found.limits if name.endswith(("_file", "_port", "_map"))}


def test_a_report_is_written_whatever_files_the_settings_name(tmp_path):
    limits = LIMITS.model_copy(update={"signing_key_file": tmp_path / "key.pem", "head_file": tmp_path / "h"})
    assert str(tmp_path) not in json.dumps(asdict(report_on(FIRST, limits, "churn", NOW)))


def test_a_version_that_fails_one_rule_failed_and_says_why():
    found = report(REFUSED)
    assert (found.verdict, found.passed) == ("failed", False)
    assert found.failures == (
        "files and golden rows: model.onnx is gone",
        "improvement: it cannot be compared with version 3: model.onnx is gone",
    )
    assert found.artifact == "gate/version-4-against-3-20240301T123015.250000Z"


def test_the_facts_are_plain_json_without_the_contract():
    found = report(FIRST)
    assert "contract" not in found.facts
    assert found.facts["as_of"] == "2024-02-29 00:00:00+00:00"
    assert found.facts["slices"][0]["value"] == "yearly"
    assert json.loads(found.text) == json.loads(json.dumps(asdict(found)))
    assert found.text.startswith('{\n  "model": "churn"')


def test_the_trail_names_the_report_with_its_digest():
    found = report(REFUSED)
    assert found.summary() == {
        "verdict": "failed",
        "report": f"{found.artifact}.json",
        "report_sha256": hashlib.sha256(found.text.encode()).hexdigest(),
        "rules": {
            "files and golden rows": False,
            "better than chance": True,
            "absolute calibration": True,
            "improvement": False,
            "latency": True,
        },
        "reasons": list(found.failures),
    }
    assert report(FIRST).summary()["verdict"] == "passed"


def test_a_gate_that_was_overruled_is_recorded_as_such():
    assert report(REFUSED).summary(despite=True)["verdict"] == "overruled"


def html(facts):
    return page(asdict(report(facts)))


def test_the_page_says_what_the_report_says():
    shown = html(REFUSED)
    assert "<title>Gate: version 4 against version 3</title>" in shown
    assert "<p class='verdict failed'>failed</p>" in shown
    assert "<p>churn, version 4, against version 3; judged at 2024-03-01T12:30:15+00:00.</p>" in shown
    assert (
        "<tr><td>files and golden rows</td><td class='failed'>failed</td><td>model.onnx is gone</td></tr>"
        in shown
    )
    assert "<td class='passed'>passed</td>" in shown
    assert "<tr><td>min_improvement</td><td>0.01</td></tr>" in shown
    assert (
        "<tr><td>contract</td><td>yearly</td><td>200</td><td>40</td><td>0.7000</td><td>190</td><td>0.7100</td>"
        "<td>0.7200</td></tr>" in shown
    )


def test_the_page_of_the_first_version_has_no_champion():
    assert "<title>Gate: version 4 with nothing in production</title>" in html(FIRST)


def test_the_page_says_which_slices_have_too_few_rows_and_omits_an_empty_table():
    few = replace(FIRST, slices=(SliceFigures("contract", "rare", 9, 1, None, None),))
    assert html(few).count("<td>too few rows</td>") == 3
    assert "Slices of the holdout" in html(few)
    assert "Slices of the holdout" not in html(replace(FIRST, slices=()))


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a & b"])
def test_the_page_escapes_what_it_shows_and_loads_nothing(text):
    shown = html(replace(REFUSED, refused=text))
    assert text not in shown
    assert "http" not in shown
