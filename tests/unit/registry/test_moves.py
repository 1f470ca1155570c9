"""How aliases are set, and how MLflow's stages mirror them."""

from types import SimpleNamespace

import pytest

from streamflow.errors import DependencyDown
from streamflow.registry.moves import LockedRegistry
from streamflow.registry.trail import Move


class Registry:
    """MLflow's registry of one model, in memory; keeps the order in which stages were set."""

    def __init__(self, aliases, stages, anchor=""):
        self.aliases, self.stages, self.set = dict(aliases), dict(stages), []
        self.tags = {"streamflow.audit": anchor} if anchor else {}

    def alias(self, model, alias):
        return self.aliases.get(alias)

    def set_alias(self, model, alias, version):
        self.aliases[alias] = version

    def delete_alias(self, model, alias):
        self.aliases.pop(alias, None)

    def versions(self, model):
        # MLflow omits the stage of a version that never had one.
        return [
            {"version": str(number)} | ({"current_stage": stage} if stage else {})
            for number, stage in sorted(self.stages.items(), reverse=True)
        ]

    def set_stage(self, model, version, stage):
        self.stages[version] = stage
        self.set.append((version, stage))

    def model_tags(self, model):
        return self.tags

    def set_model_tag(self, model, key, value):
        self.tags[key] = value


def locked(client, rows=None):
    """The registry under the promotion lock; `rows` are the hashes in the trail, by number."""
    found = SimpleNamespace(
        execute=lambda statement, parameters: SimpleNamespace(
            scalar=lambda: (rows or {}).get(parameters["promotion_id"])
        )
    )
    return LockedRegistry("churn", found, client)


def test_stages_that_mirror_the_aliases_stay_as_they_are():
    client = Registry(
        {"production": 2, "staging": 3}, {1: "Archived", 2: "Production", 3: "Staging", 4: "None", 5: ""}
    )
    assert locked(client).mirror_stages() == []
    assert client.set == []


def test_stages_follow_the_aliases_and_production_is_never_empty():
    client = Registry({"production": 2, "staging": 3}, {1: "Production", 2: "Staging", 3: "", 4: "Staging"})
    assert locked(client).mirror_stages() == [
        "version 3 was in stage None, which is now Staging",
        "version 2 was in stage Staging, which is now Production",
        "version 4 was in stage Staging, which is now Archived",
        "version 1 was in stage Production, which is now Archived",
    ]
    # Versions that an alias names come first.
    assert client.set == [(3, "Staging"), (2, "Production"), (4, "Archived"), (1, "Archived")]


def test_a_version_behind_both_aliases_is_in_stage_production():
    client = Registry({"production": 2, "staging": 2}, {2: "Staging"})
    locked(client).mirror_stages()
    assert client.stages == {2: "Production"}


def test_trials_have_no_stage():
    client = Registry({"canary": 2}, {2: "None"})
    assert locked(client).mirror_stages() == []


def test_a_version_that_reaches_production_leaves_staging():
    client = Registry({"production": 1, "staging": 2}, {1: "Production", 2: "Staging"})
    locked(client).point("production", 2)
    assert client.aliases == {"production": 2}
    assert client.stages == {1: "Archived", 2: "Production"}


def test_another_version_stays_at_staging():
    client = Registry({"production": 1, "staging": 3}, {1: "Production", 2: "None", 3: "Staging"})
    locked(client).point("production", 2)
    assert client.aliases == {"production": 2, "staging": 3}
    locked(client).point("canary", 3)
    assert client.aliases == {"production": 2, "staging": 3, "canary": 3}


def test_an_alias_is_unset():
    client = Registry({"production": 1}, {1: "Production"})
    locked(client).point("production", None)
    assert client.aliases == {}
    assert client.stages == {1: "Archived"}


ROW = Move(None, "me", "production", 1, 2, "promote", "", {}, promotion_id=7, hash="new")


@pytest.mark.parametrize("anchor", ["", "unreadable", "6:old"])
def test_the_anchor_moves_to_the_newest_row(anchor):
    client = Registry({}, {}, anchor)
    locked(client, {6: "old"}).anchor(ROW)
    assert locked(client).read_anchor() == "7:new"


@pytest.mark.parametrize("rows", [{}, {6: "forged"}])
def test_the_anchor_stays_when_the_trail_lost_its_row_until_that_is_acknowledged(rows):
    client = Registry({}, {}, "6:old")
    locked(client, rows).anchor(ROW)
    assert locked(client).read_anchor() == "6:old"
    locked(client, rows).anchor(ROW, acknowledged=True)
    assert locked(client).read_anchor() == "7:new"


def test_a_move_does_not_fail_for_its_anchor():
    client = Registry({}, {})

    def fails(*arguments):
        raise DependencyDown("MLflow does not answer.")

    client.set_model_tag = fails
    locked(client).anchor(ROW)
    assert locked(client).read_anchor() == ""
