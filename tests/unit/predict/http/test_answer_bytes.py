"""Answers that are written piece by piece have the bytes of the library that wrote them before."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.responses import JSONResponse
from hypothesis import given
from hypothesis import strategies as st

from streamflow.http.problems import Problem, ProblemError
from streamflow.model_version.contract import Contract, Feature, View
from streamflow.predict.features.online_facts import OnlineFacts
from streamflow.predict.features.read_plan import FeatureRow, ReadPlan
from streamflow.predict.http import answers, requests
from streamflow.predict.models.live_model import LiveModel, Served
from streamflow.predict.outcome import Outcome
from streamflow.release import VersionPointer
from streamflow.settings import PredictSettings

ID = "8c1f0a52c2b7e6d4"
VIEWS = (View("bills", None), View('a "view"', 60))
FEATURES = (
    Feature("fee", "bills", "float"),
    Feature("café", 'a "view"', "string"),
    # An object cannot have two members of one name.
    Feature("fee", 'a "view"', "int"),
)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
STAMPS = st.one_of(st.none(), st.floats(0, 4e9), st.integers(0, 2**31).map(float))


def served(join_key: str, threshold: float) -> Served:
    contract = Contract(
        model="m",
        feature_service="s",
        join_key=join_key,
        features=FEATURES,
        views=VIEWS,
        threshold=threshold,
        label={},
        estimator="e",
        as_of="",
        known_at="",
        fingerprint="",
    )
    release: Any = SimpleNamespace(pointer=VersionPointer("an “m”", 3, "0" * 64), contract=contract)
    return Served(release, ReadPlan(contract), 0.0)


@given(st.text(min_size=1), st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_prediction_has_the_bytes_of_json(join_key, key, probability, threshold):
    outcome = Outcome(key, served(join_key, threshold), FeatureRow((), ()), probability, None)
    assert answers.prediction_bytes(outcome, ID) == json.dumps(answers.prediction(outcome, ID)).encode()


@given(
    st.text('abcé☃"\\\n', min_size=1),
    st.tuples(VALUES, VALUES, VALUES),
    st.tuples(STAMPS, STAMPS),
    st.dictionaries(st.sampled_from([view.name for view in VIEWS]), st.floats(0, 4e9)),
    st.booleans(),
)
def test_features_have_the_bytes_of_json(key, values, stamps, newest, stale):
    problem = Problem("stale_features", "“old”", members={"reason": "stale"}) if stale else None
    outcome = Outcome(key, served("user_id", 0.5), FeatureRow(values, stamps), None, problem)
    live, settings = LiveModel(online=OnlineFacts(newest, {})), PredictSettings()
    document = {
        "user_id": key,
        "features": answers.features(outcome, live, settings),
        "problem": problem.document() if problem else None,
        "request_id": ID,
    }
    assert answers.features_bytes(outcome, live, settings, ID) == JSONResponse(document).body


@given(st.one_of(st.binary(), st.text().map(lambda key: json.dumps({"user_id": key}).encode())))
def test_a_plain_body_is_read_as_any_other(body):
    def read(content):
        try:
            return requests.read_key(content, "user_id")
        except ProblemError as error:
            return error.problem.detail

    # With a space in front, no body is plain.
    assert read(body) == read(b" " + body) or body[:1] in (b"\xef", b"\xff", b"\xfe", b"\x00")


@pytest.mark.parametrize("key", ["a", "A-1.b_c:d", "x" * 256])
def test_the_key_of_a_plain_body_is_the_one_in_it(key):
    assert requests.read_key(json.dumps({"user_id": key}).encode(), "user_id") == key
    with pytest.raises(ProblemError):
        requests.read_key(json.dumps({"user_id": key + "x" * 256}).encode(), "user_id")
