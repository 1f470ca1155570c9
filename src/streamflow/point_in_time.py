"""Build the training set as of a date, as known at a time, from the drops that were loaded by then."""

from __future__ import annotations

from datetime import date, datetime

from streamflow.drops import ledger
from streamflow.features import training_set as features
from streamflow.model_version.training_set import TrainingSet
from streamflow.postgres.engine import transaction
from streamflow.repo.definitions import FeatureRepo
from streamflow.settings import DatabaseSettings
from streamflow.snapshots import views
from streamflow.snapshots.as_of import label_as_of, of_a_drop


def training_set(
    database: DatabaseSettings, repo: FeatureRepo, as_of: date | None, known_at: datetime
) -> tuple[TrainingSet, list[ledger.LedgerEntry]]:
    """Join the labels and features of a date, seeing only what was loaded by a time.

    Args:
        database: How to connect to PostgreSQL.
        repo: Definitions of the label and the features.
        as_of: As-of of the features, which must be that of a drop; None takes that of the newest.
        known_at: Time up to which loaded rows are visible.

    Returns:
        The training set, and the drops that were loaded by `known_at`.

    Raises:
        UsageError: No drop of that as-of was loaded by `known_at`, or Feast's registry does not contain these features.
        NotFound: No label of that as-of was.
        NotYet: No drop was loaded by `known_at`.
    """
    with transaction(database) as connection:
        loaded = ledger.entries(connection, known_at)
    dates = [drop.as_of for drop in loaded]
    at = of_a_drop(dates, as_of)
    label_at = label_as_of(dates, at.date(), repo.label.horizon)
    # Drops may be loaded while the training set is read; these views show none of their rows.
    with views.frozen(database, repo, known_at) as schema:
        built = features.build(
            database, repo, as_of=at, label_as_of=label_at, known_at=known_at, db_schema=schema
        )
    return built, loaded
