"""Select what is to be judged: months with scores, and months whose labels have come. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from streamflow.monitoring.harm.verdict import ESTIMATED, REALIZED


@dataclass(frozen=True)
class Drop:
    """The newest drop of an as-of.

    Attributes:
        as_of: Date that it describes.
        drop_id: Its id.
        loaded_at: Time of its load.
    """

    as_of: datetime
    drop_id: str
    loaded_at: datetime


@dataclass(frozen=True)
class Scored:
    """A month that a version scored.

    Attributes:
        scoring_id: Id of the scoring.
        as_of: The month.
        known_at: Load time up to which the scoring saw rows.
        removed: Whether its scores are deleted, because newer ones are kept.
        drop_id: Newest drop of the month that it saw; None if the ledger has none.
    """

    scoring_id: int
    as_of: datetime
    known_at: datetime
    removed: bool
    drop_id: str | None


@dataclass(frozen=True)
class Month:
    """A month to judge.

    Attributes:
        basis: `estimated` or `realized`.
        scored: Its scoring.
        labels: Drop that its labels come from; None for an estimate.
    """

    basis: str
    scored: Scored
    labels: Drop | None = None

    @property
    def key(self) -> tuple[str, datetime, str, str]:
        """What names its verdict among those of the version."""
        return self.basis, self.scored.as_of, self.scored.drop_id or "", self.labels.drop_id if self.labels else ""

    @property
    def known_at(self) -> datetime:
        """Load time up to which rows are read."""
        return self.labels.loaded_at if self.labels else self.scored.known_at


def due(
    scored: Sequence[Scored], drops: Sequence[Drop], horizon: int, judged: Collection[tuple[str, datetime, str, str]]
) -> list[Month]:
    """The months that have no verdict yet, oldest first, each estimated before it is realized.

    Args:
        scored: Months that the version scored.
        drops: Newest drop of each as-of.
        horizon: Number of drops between features and label.
        judged: Keys of the months that have a verdict.
    """
    found = []
    for each in sorted(scored, key=lambda scoring: scoring.as_of):
        found.append(Month(ESTIMATED, each))
        labels = labels_of(each.as_of, drops, horizon)
        if labels is not None:
            found.append(Month(REALIZED, each, labels))
    return [month for month in found if month.key not in judged]


def labels_of(as_of: datetime, drops: Sequence[Drop], horizon: int) -> Drop | None:
    """The drop with the labels of a month; None if it has not come."""
    from_there = sorted((drop for drop in drops if drop.as_of >= as_of), key=lambda drop: drop.as_of)
    if len(from_there) <= horizon or from_there[0].as_of != as_of:
        return None
    return from_there[horizon]
