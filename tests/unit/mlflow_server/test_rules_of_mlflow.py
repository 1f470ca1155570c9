"""Who may do what to the registered model in MLflow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.mlflow_server.closed import is_closed
from streamflow.mlflow_server.rules import MOST_TAG_CHARACTERS, MOST_TAGS, Action, refusal
from streamflow.model_version import asked, tags

KINDS = ("move", "remove", "rename", "create", "describe", "version tag", "model tag", "delete file")
ROLES = st.sets(st.sampled_from(["viewer", "trainer", "promoter", "admin"]))
ACTIONS = st.builds(
    Action,
    kind=st.sampled_from(KINDS),
    ours=st.booleans(),
    keys=st.lists(
        st.sampled_from([tags.MANIFEST_SHA256, tags.GATE, tags.AUDIT, "reason", "x", asked.STAGE])
    ).map(tuple),
)


@given(ACTIONS, ROLES)
def test_who_is_no_promoter_neither_moves_nor_names_nor_removes(action, roles):
    allowed = not refusal(action, "alice", roles)
    if allowed and action.ours and not roles & {"promoter", "admin"}:
        assert action.kind in ("create", "version tag", "model tag")
        assert "reason" not in action.keys or action.kind == "create"
        assert tags.AUDIT not in action.keys or action.kind != "model tag"
    if allowed and action.kind == "create":
        assert roles & {"trainer", "promoter", "admin"}


@given(ACTIONS, ROLES)
def test_nobody_writes_names_renames_the_model_or_changes_what_a_version_is(action, roles):
    if not refusal(action, "alice", roles):
        assert asked.STAGE not in action.keys
        assert not (action.ours and action.kind == "rename")
        assert not (action.ours and action.kind == "version tag" and tags.MANIFEST_SHA256 in action.keys)


@pytest.mark.parametrize("name", ["unknown", "key:ci", "alice\u200b", " alice", "a\nb", ""])
def test_a_name_that_would_mislead_moves_nothing(name):
    assert "cannot stand in the ledger" in refusal(Action("move", ours=True), name, {"promoter"})
    assert refusal(Action("move", ours=True), "alice", {"promoter"}) == ""


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        (Action("version tag", ours=True, longest=MOST_TAG_CHARACTERS, tags=MOST_TAGS), True),
        (Action("version tag", ours=True, longest=MOST_TAG_CHARACTERS + 1), False),
        (Action("create", ours=True, tags=MOST_TAGS + 1), False),
        (Action("create", ours=False, tags=MOST_TAGS + 1), True),
    ],
)
def test_tags_are_capped(action, allowed):
    assert (refusal(action, "t", {"trainer"}) == "") is allowed


@pytest.mark.parametrize(
    ("path", "closed"),
    [
        ("/ajax-api/3.0/mlflow/assistant/config", True),
        ("//ajax-api//3.0/mlflow/assistant", True),
        ("/ajax-api/3.0/jobs/1", True),
        ("/gateway/chat", True),
        ("/ajax-api/2.0/mlflow/gateway-proxy", True),
        ("/api/3.0/mlflow/mcp-servers", True),
        ("/api/2.0/mlflow/webhooks/1", True),
        ("/", False),
        ("/health", False),
        ("/api/2.0/mlflow/runs/get", False),
        ("/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/jobs/gateway", False),
    ],
)
def test_what_runs_commands_or_calls_other_servers_is_closed(path, closed):
    assert is_closed(path) is closed
