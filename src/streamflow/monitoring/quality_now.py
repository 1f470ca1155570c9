"""Quality now, and since when drift or harm holds: one line for people, one object for scripts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from streamflow.postgres import statements
from streamflow.postgres.engine import transaction
from streamflow.settings import DatabaseSettings

_SQL = statements.load(Path(__file__).with_name("newest_verdicts.sql"))


@dataclass(frozen=True)
class QualityNow:
    """What the newest verdicts say about the version that was judged last.

    Attributes:
        version: Version of the model.
        basis: `realized` (from labels) or `estimated` (from the scores alone); None without an AUC.
        as_of: Month of the AUC.
        auc: AUC of that month.
        low: Lower end of its 95 % interval.
        high: Upper end of its 95 % interval.
        drifted_since: First of the months up to the newest in which features drifted; None if they have not.
        harmful_since: First month that showed harm; None if none has.
        harm_basis: `realized` or `estimated`, as the harm was shown; None without harm.
    """

    version: int
    basis: str | None = None
    as_of: datetime | None = None
    auc: float | None = None
    low: float | None = None
    high: float | None = None
    drifted_since: datetime | None = None
    harmful_since: datetime | None = None
    harm_basis: str | None = None


def read(database: DatabaseSettings, model: str) -> QualityNow | None:
    """Read the newest verdicts on a model; None if nothing has been judged.

    Raises:
        DependencyDown: PostgreSQL does not answer, refuses the login, or lacks StreamFlow's tables.
    """
    with transaction(database) as connection:
        version = connection.execute(sa.text(_SQL["judged_last"]), {"model": model}).scalar()
        if version is None:
            return None
        of = {"model": model, "version": version}
        quality = connection.execute(sa.text(_SQL["quality_now"]), of).first()
        drifted = connection.execute(sa.text(_SQL["drifted_since"]), of).scalar()
        harm = [
            (row.since, row.basis)
            for row in connection.execute(sa.text(_SQL["harm"]), {"model": model})
            if row.version == version and row.harmful
        ]
    # The first month that showed it; of two bases in one month, the labels.
    since, basis = min(harm, key=lambda one: (one[0], one[1] != "realized"), default=(None, None))
    figures = quality._asdict() if quality is not None else {}
    return QualityNow(version, **figures, drifted_since=drifted, harmful_since=since, harm_basis=basis)


def line(now: QualityNow) -> str:
    """The line that `streamflow status` prints."""
    return f"Version {now.version}: {'; '.join([_quality(now), _drift(now), _harm(now)])}."


def _quality(now: QualityNow) -> str:
    if now.auc is None or now.as_of is None:
        return "quality not known yet"
    interval = f" ({now.low:.3f} to {now.high:.3f})" if now.low is not None and now.high is not None else ""
    return f"AUC {now.auc:.3f}{interval} in the month of {now.as_of:%Y-%m-%d}, {now.basis}"


def _drift(now: QualityNow) -> str:
    return f"features drifted since {now.drifted_since:%Y-%m-%d}" if now.drifted_since else "no drift shown"


def _harm(now: QualityNow) -> str:
    if now.harmful_since is None:
        return "no harm shown"
    return f"harm shown since {now.harmful_since:%Y-%m-%d} ({now.harm_basis})"
