"""What data scientists read, as pandas DataFrames: training sets, online features, scores and history.

`import streamflow` offers these functions by the same names. They find PostgreSQL as the command line does: in the
environment (`STREAMFLOW_DATABASE__HOST` …), else in `stack.env` of a local stack. A login of the group `read` is enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from streamflow import point_in_time
from streamflow import settings as settings_module
from streamflow.features import online
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.scoring import kept
from streamflow.snapshots import history as snapshots
from streamflow.times import parse_day, parse_moment
from streamflow.types import TYPES, of

_TEXT: Any = of("string").pandas[0]
_DTYPES = {
    pa.type_for_alias(item.arrow): dtype
    for item in TYPES
    if isinstance(dtype := pd.api.types.pandas_dtype(item.pandas[0]), pd.api.extensions.ExtensionDtype)
}
"""pandas' nullable types, by Arrow type. A date becomes a datetime64, which has a null of its own."""


def training_set(as_of: date | str | None = None, known_at: datetime | str | None = None) -> pd.DataFrame:
    """The training set as of a date, as known at a time: what `streamflow train` fits on.

    One row for each user who has a label and every required feature, sorted by key: the key, the features in the
    order of the feature service, and `label`. Columns have the types that estimators take: a feature that may be absent
    is float64, with NaN where it is.

    `attrs` of the frame has `as_of`, `label_as_of`, `known_at`, `fingerprint` (that of a run on the same rows) and
    `incomplete`, the number of rows left out for lack of a required feature, by feature.

    Args:
        as_of: Date of the features, such as "2024-01-31"; by default that of the newest drop.
        known_at: Time up to which loaded rows are visible, in UTC unless it has a time zone; by default now.

    Raises:
        DependencyDown: PostgreSQL does not answer.
        NotFound: No label of that date was loaded by then.
        NotYet: No drop was loaded by then.
        UsageError: `as_of` is not the date of a drop, `known_at` is not a time or is in the future, or the feature repo
            has changed since it was applied.
    """
    settings = settings_module.load()
    repo = definitions.load(settings.feast.repo)
    with transaction(settings.database) as connection:
        known = clock.known_without_stamp(connection, _moment(known_at))
    data, _ = point_in_time.training_set(settings.database, repo, _day(as_of), known)
    frame = data.frame.astype({data.key: _TEXT})
    # As text, so that the frame can be written to a file with them.
    frame.attrs = {
        "as_of": data.as_of.isoformat(),
        "label_as_of": data.label_as_of.isoformat(),
        "known_at": data.known_at.isoformat(),
        "fingerprint": data.fingerprint,
        "incomplete": dict(data.incomplete),
    }
    return frame


def features(user_ids: str | Iterable[str]) -> pd.DataFrame:
    """The online features of users, from the rows that predict reads.

    One row for each given user, in the given order: the key, and the features in the order of the feature service.
    Columns have pandas' nullable types. A user whom the online store does not know has a row of absent values;
    `Client.features` tells why predict would refuse one.

    Args:
        user_ids: Keys of users, or one key.

    Raises:
        DependencyDown: PostgreSQL does not answer.
        UsageError: The feature repo has changed since it was applied.
    """
    settings = settings_module.load()
    repo = definitions.load(settings.feast.repo)
    keys = _keys(user_ids)
    listed, values = online.read(settings.database, repo, keys)
    dtypes: dict[str, Any] = {item.name: of(item.type).pandas[0] for item in listed}
    columns = {name: pd.Series(values[name], dtype=dtype) for name, dtype in dtypes.items()}
    return pd.DataFrame({repo.entity_table.key: pd.Series(keys, dtype=_TEXT), **columns})


def scores() -> pd.DataFrame:
    """The newest scores: what the last `streamflow score` computed for every user whom predict would answer.

    One row for each user, sorted by key: the key, `probability` (float64), `prediction` (bool), and the `version` and the
    `as_of` that all rows share. `attrs` has `model`, `scoring_id`, `known_at` and the `fingerprint` of the version's
    training set.

    Raises:
        DependencyDown: PostgreSQL does not answer.
        NotYet: Nothing has been scored yet.
    """
    settings = settings_module.load()
    key = definitions.load(settings.feast.repo).entity_table.key
    model = settings.mlflow.registered_model
    scoring, table = kept.newest(settings.database, model)
    frame: pd.DataFrame = table.rename_columns({"entity": key}).to_pandas().astype({key: _TEXT})
    frame["version"] = scoring.version
    frame["as_of"] = pd.Series(pd.Timestamp(scoring.as_of).tz_convert("UTC"), frame.index).dt.as_unit("ns")
    frame.attrs = {
        "model": model,
        "scoring_id": scoring.scoring_id,
        "known_at": scoring.known_at.isoformat(),
        "fingerprint": scoring.fingerprint,
    }
    return frame


def history(
    table: str | None = None,
    user_ids: str | Iterable[str] | None = None,
    known_at: datetime | str | None = None,
) -> pd.DataFrame:
    """The history of one source table: every row of every drop, corrections included.

    The key, the table's columns with pandas' nullable types, `as_of` (the date that the row is about), `loaded_at`
    (when it was learnt) and `drop_id`; sorted by key, `as_of` and `loaded_at`. Of several rows with the same key and
    `as_of`, the last is the newest correction. Rows of erased people, and of months that were dropped, are gone.

    Args:
        table: Name of a source table, such as "usage_agg_30d"; by default the table that lists the users.
        user_ids: Keys of users, or one key; by default all users.
        known_at: Leave out rows that were loaded after this time; in UTC unless it has a time zone.

    Raises:
        DependencyDown: PostgreSQL does not answer.
        UsageError: There is no such table, or `known_at` is not a valid time.
    """
    settings = settings_module.load()
    repo = definitions.load(settings.feast.repo)
    declared = repo.entity_table if table is None else repo.table(table)
    keys = None if user_ids is None else _keys(user_ids)
    found = snapshots.read(settings.database, declared, keys, _moment(known_at), settings.rows_in_lake)
    frame: pd.DataFrame = found.to_pandas(
        types_mapper=_DTYPES.get, date_as_object=False, coerce_temporal_nanoseconds=True
    )
    return frame


def _keys(user_ids: str | Iterable[str]) -> list[str]:
    return [user_ids] if isinstance(user_ids, str) else list(user_ids)


def _day(as_of: date | str | None) -> date | None:
    if isinstance(as_of, str):
        return parse_day(as_of)
    # A datetime, and so a pandas Timestamp, is a date too, but equals none.
    return as_of.date() if isinstance(as_of, datetime) else as_of


def _moment(known_at: datetime | str | None) -> datetime | None:
    if known_at is None:
        return None
    return parse_moment(known_at if isinstance(known_at, str) else known_at.isoformat())
