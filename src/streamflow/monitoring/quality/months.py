"""Which months of which versions are to be judged: those whose scores, or labels, are new. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime

from streamflow.model_version.contract import Contract

ESTIMATED, REALIZED = "estimated", "realized"

Judged = tuple[int, str, datetime, str, str]
"""Version, basis, as-of, drop and drop of the labels ("" without labels) of figures that are recorded."""


@dataclass(frozen=True)
class Drop:
    """A drop that was loaded.

    Attributes:
        as_of: Month that it describes.
        drop_id: Its id.
        loaded_at: Load time of all its rows.
    """

    as_of: datetime
    drop_id: str
    loaded_at: datetime


@dataclass(frozen=True)
class Released:
    """A version whose files are stored.

    Attributes:
        manifest_sha256: Digest that names the release.
        contract: Its contract.
    """

    manifest_sha256: str
    contract: Contract


@dataclass(frozen=True)
class Scored:
    """A month that a version scored.

    Attributes:
        version: Number of the version.
        as_of: As-of of the month.
        known_at: Load time up to which the scored values were read.
        drop_id: Newest drop of the month that was scored.
        scoring_id: Id of the scoring; None if the scores are in the log of predictions.
        fingerprint: Fingerprint of the version's training set; "" if the log does not say.
    """

    version: int
    as_of: datetime
    known_at: datetime
    drop_id: str
    scoring_id: int | None
    fingerprint: str = ""


@dataclass(frozen=True)
class Task:
    """A month to judge.

    Attributes:
        scored: The month, and who scored it.
        released: The version.
        labels: Newest drop with the month's labels; None if there is none yet.
        bases: The bases on which it is not judged yet.
    """

    scored: Scored
    released: Released
    labels: Drop | None
    bases: tuple[str, ...]

    @property
    def learnt(self) -> bool:
        """Whether the month is that of the version's own training set."""
        contract = self.released.contract
        own = datetime.fromisoformat(contract.as_of), datetime.fromisoformat(contract.label["as_of"])
        return self.labels is not None and own == (self.scored.as_of, self.labels.as_of)


def tasks(
    scored: Sequence[Scored], released: Mapping[int, Released], drops: Sequence[Drop], judged: Set[Judged]
) -> list[Task]:
    """What is to be judged: nothing that is judged already, and nothing of a version whose contract is not stored.

    Args:
        scored: What was scored.
        released: The versions whose files are stored, by number.
        drops: All drops, in the order of loading within a month.
        judged: What is recorded.
    """
    found = []
    for month in scored:
        version = released.get(month.version)
        if version is None or month.fingerprint not in ("", version.contract.fingerprint):
            continue
        labels = labels_of(drops, month.as_of, int(version.contract.label["horizon"]))
        key = (month.version, ESTIMATED, month.as_of, month.drop_id, "")
        bases = [] if key in judged else [ESTIMATED]
        if labels and (month.version, REALIZED, month.as_of, month.drop_id, labels.drop_id) not in judged:
            bases.append(REALIZED)
        if bases:
            found.append(Task(month, version, labels, tuple(bases)))
    return found


def labels_of(drops: Sequence[Drop], as_of: datetime, horizon: int) -> Drop | None:
    """The newest drop with the labels of a month; None if it is not loaded.

    Args:
        drops: All drops, in the order of loading within a month.
        as_of: The month.
        horizon: 0 for the labels of the month's own drop, n for those of the n-th next month.
    """
    months = sorted({drop.as_of for drop in drops if drop.as_of >= as_of})
    if as_of not in months or len(months) <= horizon:
        return None
    return [drop for drop in drops if drop.as_of == months[horizon]][-1]


@dataclass(frozen=True)
class Logged:
    """A month without batch scores, whose answers may be in the log of predictions.

    Attributes:
        drop: Newest drop of the month.
        loaded: Load times of all its drops, which the log's answers name.
        last: When the next month's drop was loaded.
    """

    drop: Drop
    loaded: tuple[datetime, ...]
    last: datetime


def only_logged(drops: Sequence[Drop], scored: Set[datetime]) -> list[Logged]:
    """The months that were never scored as a batch and are over: a later one is loaded, so hardly an answer is to come.

    Args:
        drops: All drops, in the order of loading within a month.
        scored: As-of of the months that were scored.
    """
    by_month: dict[datetime, list[Drop]] = {}
    for drop in drops:
        by_month.setdefault(drop.as_of, []).append(drop)
    order = sorted(by_month)
    return [
        Logged(
            by_month[this][-1], tuple(drop.loaded_at for drop in by_month[this]), by_month[after][0].loaded_at
        )
        for this, after in itertools.pairwise(order)
        if this not in scored
    ]


def of_month(scored: Sequence[Scored], as_of: date | None) -> list[Scored]:
    """What was scored as of a date; all of it without a date."""
    return [month for month in scored if as_of is None or month.as_of.date() == as_of]
