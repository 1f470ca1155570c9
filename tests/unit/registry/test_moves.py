"""MLflow's tag with the newest row of the ledger, which makes rows cut off at the end noticed."""

from types import SimpleNamespace

import pytest

from streamflow.errors import DependencyDown
from streamflow.registry.moves import LockedRegistry
from streamflow.registry.trail import Move


class Registry:
    """The tags of a model in MLflow's registry."""

    def __init__(self, anchor=""):
        self.tags = {"streamflow.audit": anchor} if anchor else {}

    def model_tags(self, model):
        return self.tags

    def set_model_tag(self, model, key, value):
        self.tags[key] = value


def locked(client, rows=None):
    """The registry under the promotion lock; `rows` are the hashes in the trail, by number."""
    found = SimpleNamespace(
        execute=lambda statement, parameters: SimpleNamespace(
            scalar_one=lambda: (rows or {}).get(parameters["promotion_id"]) == parameters["hash"]
        )
    )
    return LockedRegistry("churn", found, client)


OLD, NEW = "0" * 64, "1" * 64
ROW = Move(None, "me", "production", 1, 2, "promote", "", {}, promotion_id=7, hash=NEW)


@pytest.mark.parametrize("anchor", ["", "unreadable", "²:x", "6:old", f"{10**30}:{OLD}", f"6:{OLD}"])
def test_the_anchor_moves_to_the_newest_row(anchor):
    client = Registry(anchor)
    locked(client, {6: OLD}).anchor(ROW)
    assert locked(client).read_anchor() == f"7:{NEW}"


@pytest.mark.parametrize("rows", [{}, {6: "forged"}])
def test_the_anchor_stays_when_the_trail_lost_its_row_until_that_is_acknowledged(rows):
    client = Registry(f"6:{OLD}")
    locked(client, rows).anchor(ROW)
    assert locked(client).read_anchor() == f"6:{OLD}"
    locked(client, rows).anchor(ROW, acknowledged=True)
    assert locked(client).read_anchor() == f"7:{NEW}"


def test_a_move_does_not_fail_for_its_anchor():
    client = Registry()

    def fails(*arguments):
        raise DependencyDown("MLflow does not answer.")

    client.set_model_tag = fails
    locked(client).anchor(ROW)
    assert locked(client).read_anchor() == ""
