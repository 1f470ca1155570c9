"""What MLflow shows of a model, and whose names in it count."""

from streamflow.model_version import asked
from streamflow.model_version.asked import Asked
from streamflow.registry.alignment import Shown
from streamflow.registry.shown import shown
from streamflow.registry.trail import Move

ALICE = Asked("alice", "2026-01-01T00:00:00", "a reason")
IN_STAGING = Asked("bob", "2026-01-02T00:00:00", "", "Staging")


def tagged(**tags):
    return [{"key": key, "value": value} for key, value in tags.items()]


def version(number, stage="None", **tags):
    return {"version": str(number), "current_stage": stage, "tags": tagged(**tags)}


def moved(to, facts=None, **release):
    return Move(None, "me", "production", None, to, "promote", "", facts or {}, release=release)


MODEL = {
    "aliases": [{"alias": "production", "version": "2"}, {"alias": "theirs", "version": "1"}],
    "tags": tagged(**{asked.alias_tag("staging"): ALICE.to_tag()}),
}
VERSIONS = [
    version(2, "Production", **{asked.alias_tag("production"): ALICE.to_tag()}),
    version(1, "Staging", **{asked.STAGE: IN_STAGING.to_tag()}),
]


def test_names_count_only_if_mlflows_server_writes_them():
    plain = Shown({"production": 2}, {1: "Staging", 2: "Production"})
    assert shown(MODEL, VERSIONS, [], named=False) == plain
    assert shown(MODEL, VERSIONS, [], named=True) == Shown(
        plain.aliases, plain.stages, {("production", 2): ALICE, ("staging", None): ALICE}, {1: IN_STAGING}
    )


def test_a_name_that_was_answered_is_not_behind_a_later_move():
    past = [moved(2, {"asked_at": ALICE.at})]
    found = shown(MODEL, VERSIONS, past, named=True)
    assert (found.asked_aliases, found.asked_stages) == ({}, {1: IN_STAGING})


def test_another_model_under_a_number_is_left_out_and_so_is_its_name():
    past = [moved(2, manifest_sha256="a" * 64)]
    found = shown(MODEL, VERSIONS, past, named=True)
    assert found.stages == {1: "Staging"}
    assert ("production", 2) not in found.asked_aliases


def test_a_model_that_is_not_there_shows_nothing():
    assert shown({}, [], [], named=True) == Shown({}, {})
