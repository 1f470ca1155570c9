"""What a contract may say: read back as written, or refused with the place that is wrong."""

import json

import pytest

from streamflow.model_version.contract import Contract, Feature, View

CONTRACT = Contract(
    model="m",
    feature_service="s",
    join_key="user_id",
    features=(
        Feature("fee", "bills", "float"),
        Feature("tv", "plans", "bool", nullable=True),
        Feature("kind", "plans", "string", categories=("a", "b")),
    ),
    views=(View("bills", 86400.0), View("plans")),
    threshold=0.5,
    label={"table": "labels", "horizon": 0},
    estimator="e",
    as_of="2024-01-31T00:00:00+00:00",
    known_at="2024-03-01T00:00:00+00:00",
    fingerprint="f",
    drops=("d1",),
    statistics={"fee": {"deciles": [1.0, 2.0]}},
)


def changed(**members):
    return json.dumps({**json.loads(CONTRACT.to_json()), **members})


def test_a_contract_is_read_back_as_it_was_written():
    assert Contract.from_json(CONTRACT.to_json()) == CONTRACT


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"format": 2}, "unknown contract format"),
        ({"threshold": "high"}, "threshold"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": None}, "threshold"),
        ({"views": []}, "bills, plans"),
        ({"views": [{"name": "bills", "max_age_seconds": -1}, {"name": "plans"}]}, "maximum age"),
        ({"features": []}, "it has no features"),
        (
            {"features": [{"name": "fee", "view": "bills", "type": "money", "categories": []}]},
            "features.0.type",
        ),
        (
            {"features": 2 * [{"name": "fee", "view": "bills", "type": "int", "categories": []}]},
            "two with the same name",
        ),
        ({"features": [{"name": "k", "view": "plans", "type": "string", "categories": []}]}, "no categories"),
        ({"label": "churned"}, "label"),
    ],
)
def test_an_invalid_contract_is_refused_with_the_place_of_the_error(members, says):
    with pytest.raises(ValueError, match=says):
        Contract.from_json(changed(**members))


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "null", "{}", '{"format": 1}'])
def test_what_is_no_document_is_refused(text):
    with pytest.raises(ValueError, match=r"not a model contract"):
        Contract.from_json(text)
