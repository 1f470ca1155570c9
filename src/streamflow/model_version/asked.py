"""Who asked for a move in MLflow, when and why: the tag that MLflow's server writes and the registrar reads. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from streamflow.model_version import tags

PREFIX = f"{tags.PREFIX}asked."
"""Tags that begin with it are written by MLflow's server alone; it refuses them from its clients."""

STAGE = f"{PREFIX}stage"
"""On a version: who moved it to which stage."""

REASON = "reason"
"""Tag in which a person says why, before they move the version."""

_ROW = re.compile(r"\(row \d+ of the ledger\)")
_LONGEST = 1000
"""Characters of a reason that are kept; MLflow's tags have 5,000 at most."""
_LONGEST_NAME = 255
_ONE_OF_OURS = ("unknown", "key:")
"""How the ledger names those whom no account stands for."""


@dataclass(frozen=True)
class Asked:
    """Who asked for a move.

    Attributes:
        by: Name of the account.
        at: When, as an ISO 8601 time in UTC.
        why: The reason, as found on the version; "" if there was none.
        stage: Stage that was asked for; "" if an alias was moved.
    """

    by: str
    at: str
    why: str = ""
    stage: str = ""

    def to_tag(self) -> str:
        """The value of the tag."""
        return json.dumps(asdict(self) | {"why": self.why[:_LONGEST]}, ensure_ascii=False)


def alias_tag(alias: str) -> str:
    """Name of the tag of an alias: on the version that it was pointed at, or on the model when it was taken away."""
    return f"{PREFIX}alias.{alias}"


def from_tag(text: str | None) -> Asked | None:
    """Read the value of a tag; None if there is none, or if it is not what `to_tag` writes."""
    try:
        found = json.loads(text or "")
        fields = [one_line(str(found[name]))[:_LONGEST] for name in ("by", "at", "why", "stage")]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return Asked(*fields) if fields[0] else None


def row_note(promotion_id: int) -> str:
    """How StreamFlow's own descriptions of versions refer to a row of the ledger."""
    return f"(row {promotion_id} of the ledger)"


def reason_of(version_tags: Mapping[str, str], description: str | None) -> str:
    """The reason that a person gave for a move: the tag `reason`, else the description, unless StreamFlow wrote it.

    Args:
        version_tags: Tags of the version.
        description: Description of the version.
    """
    text = one_line(version_tags.get(REASON, "")) or one_line(description or "")
    return "" if _ROW.search(text) else text


def is_a_name(name: str) -> bool:
    """Whether the ledger may say that somebody of this name asked: it is one line, and of no other kind of asker."""
    return 0 < len(name) <= _LONGEST_NAME and name == one_line(name) and not name.startswith(_ONE_OF_OURS)


def one_line(text: str) -> str:
    """Text of a person in one line, without control characters: it is printed in terminals."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
