"""What an account of MLflow may do to the registered model, beyond what MLflow itself allows it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from streamflow.mlflow_server.accounts import ADMIN, PROMOTER, TRAINER
from streamflow.model_version import asked, tags

MOST_TAGS = 100
"""Most tags of a version: the registrar reads all of them every few seconds."""
MOST_TAG_CHARACTERS = 5000


@dataclass(frozen=True)
class Action:
    """What a request would do.

    Attributes:
        kind: "move", "remove", "rename", "create", "describe", "version tag" or "model tag"; "delete file".
        ours: Whether it is about the registered model of StreamFlow.
        keys: Tags that it would set or delete.
        longest: Length of the longest value among them.
        tags: Number of tags that the version would have.
    """

    kind: str
    ours: bool
    keys: tuple[str, ...] = ()
    longest: int = 0
    tags: int = 0


def refusal(action: Action, account: str, roles: Collection[str]) -> str:
    """Why an account may not do this; "" if it may.

    Args:
        action: What it would do.
        account: Name of the account.
        roles: Its roles; an administrator has the role `admin`.
    """
    return next(_reasons(action, account, set(roles)), "")


def _reasons(action: Action, account: str, roles: set[str]) -> Iterator[str]:
    may_promote = bool({ADMIN, PROMOTER} & roles)
    if any(key.startswith(asked.PREFIX) for key in action.keys):
        yield f"MLflow's server alone writes tags that begin with '{asked.PREFIX}'."
    if action.kind == "create" and not may_promote and TRAINER not in roles:
        yield _lacks(account, TRAINER, "create models, versions and experiments")
    if action.kind == "delete file" and not may_promote:
        yield _lacks(account, PROMOTER, "delete files")
    if not action.ours:
        return
    if action.kind == "rename":
        yield "StreamFlow's registered model keeps its name: trainings and the ledger refer to it."
    if action.longest > MOST_TAG_CHARACTERS or action.tags > MOST_TAGS:
        yield f"A version has at most {MOST_TAGS} tags, of at most {MOST_TAG_CHARACTERS:,} characters each."
    if action.kind == "version tag" and tags.MANIFEST_SHA256 in action.keys:
        yield f"'{tags.MANIFEST_SHA256}' says which files a version has, and never changes."
    if action.kind == "move" and not asked.is_a_name(account):
        yield f"The name of the account {account!r} cannot stand in the ledger. Use another account."
    if _for_promoters(action) and not may_promote:
        yield _lacks(account, PROMOTER, "move, describe and remove versions of this model")


def _for_promoters(action: Action) -> bool:
    if action.kind in ("move", "remove", "describe"):
        return True
    # The reason of a move is read from this tag.
    if action.kind == "version tag":
        return asked.REASON in action.keys
    return action.kind == "model tag" and any(
        key == asked.REASON or key.startswith(tags.PREFIX) for key in action.keys
    )


def _lacks(account: str, role: str, what: str) -> str:
    return (
        f"The account '{account}' lacks the role '{role}', which may {what}."
        " Ask an administrator of this MLflow for the role."
    )
