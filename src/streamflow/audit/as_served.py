"""What the online store contained about an entity at a past moment, derived from the materializations up to then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.eligibility import NO_ROW, NULL_VALUES, STALE, Policy, Rules
from streamflow.errors import Refused
from streamflow.lake import ledger
from streamflow.model_version.contract import Contract
from streamflow.postgres import statements
from streamflow.postgres.names import FEATURES, MATERIALIZATIONS, ONLINE, quote
from streamflow.repo.definitions import FeatureRepo
from streamflow.repo.snapshots import snapshots_of

_SQL = statements.load(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True)
class ServedView:
    """One feature view's row of an entity.

    Attributes:
        view: Feature view.
        values: Value per feature of the contract; None where absent.
        as_of: Event timestamp; None when the store had no row.
        loaded_at: When the row was loaded.
        drop_id: Drop that the row came with.
        materialization_id: Materialization that wrote the row.
        newest: Newest event timestamp that was materialized for this view.
    """

    view: str
    values: dict[str, Any]
    as_of: datetime | None
    loaded_at: datetime | None
    drop_id: str | None
    materialization_id: int | None
    newest: datetime | None


def as_served(
    connection: sa.Connection, repo: FeatureRepo, contract: Contract, entity: str, moment: datetime
) -> tuple[ServedView, ...]:
    """The rows of an entity that were served at a moment, in the order of the contract's views.

    A materialization writes each entity's newest row of its window among the rows known at `materialized_at`, and never
    replaces a newer row by an older one. So the store contained the newest row that any materialization visible by then
    (`visible_at`) had written. Rows pushed through Feast's API are not recorded, and are not seen here.

    Args:
        connection: Connection to read on.
        repo: The feature repo.
        contract: The contract whose features are wanted.
        entity: Key of the entity.
        moment: The moment to look at.

    Raises:
        Refused: The feature repo no longer has the contract's features, or the rows are in the lake.
    """
    ledger.refuse_rows_in_lake(connection)
    return tuple(_view(connection, repo, contract, view.name, entity, moment) for view in contract.views)


def _view(
    connection: sa.Connection, repo: FeatureRepo, contract: Contract, name: str, entity: str, moment: datetime
) -> ServedView:
    wanted = [feature.name for feature in contract.features if feature.view == name]
    declared = {view.name: view for view in repo.feature_views}.get(name)
    missing = (
        wanted if declared is None else sorted(set(wanted) - {field.name for field in declared.features})
    )
    if declared is None or missing:
        raise Refused(
            f"The feature repo no longer has {', '.join(f'{name}:{item}' for item in missing)}.",
            hint="Set STREAMFLOW_FEAST__REPO to the feature repo of that time.",
        )
    listed = ", ".join(f"s.{quote(item)}" for item in wanted)
    row = connection.execute(
        sa.text(
            f"SELECT s.as_of, s.loaded_at, s.drop_id, m.materialization_id{', ' if wanted else ''}{listed}"
            f" FROM {ONLINE}.{MATERIALIZATIONS} m CROSS JOIN LATERAL ("
            f"SELECT * FROM {quote(FEATURES, snapshots_of(declared))}"
            f" WHERE {quote(repo.join_key)} = :entity AND as_of BETWEEN m.window_start AND m.window_end"
            " AND loaded_at <= m.materialized_at ORDER BY as_of DESC, loaded_at DESC LIMIT 1) s"
            " WHERE m.feature_view = :view AND m.visible_at <= :moment"
            " ORDER BY s.as_of DESC, s.loaded_at DESC, m.materialization_id DESC LIMIT 1"
        ),
        {"entity": entity, "view": name, "moment": moment},
    ).first()
    newest = connection.execute(sa.text(_SQL["newest_as_of"]), {"view": name, "moment": moment}).scalar()
    if row is None:
        return ServedView(name, {}, None, None, None, None, newest)
    return ServedView(
        view=name,
        values=dict(zip(wanted, row[4:], strict=True)),
        as_of=row.as_of.astimezone(UTC),
        loaded_at=row.loaded_at.astimezone(UTC),
        drop_id=str(row.drop_id),
        materialization_id=int(row.materialization_id),
        newest=newest.astimezone(UTC) if newest else None,
    )


def refusal(contract: Contract, views: tuple[ServedView, ...], policy: Policy) -> str:
    """Why `/predict` would have refused these rows; "" when it would have answered. Pure.

    Args:
        contract: The contract of the version that answers.
        views: The rows, in the order of the contract's views.
        policy: What counts as stale.
    """
    rules = Rules(contract.features, contract.views)
    by_view = {item.view: item.values for item in views}
    values = [by_view[feature.view].get(feature.name) for feature in contract.features]
    stamps = [None if item.as_of is None else item.as_of.timestamp() for item in views]
    newest = {item.view: item.newest.timestamp() for item in views if item.newest is not None}
    reason = rules.reason(values, stamps, newest, policy)
    if reason == NO_ROW:
        return f"missing_features: no row in {', '.join(item.view for item in views if item.as_of is None)}"
    if reason == NULL_VALUES:
        names = [contract.features[i].name for i in rules.lacking(values)]
        return f"missing_features: no value of {', '.join(names)}"
    if reason == STALE:
        item = views[rules.stale(stamps, newest, policy)[0]]
        return (
            f"stale_features: {item.view} is of {item.as_of:%Y-%m-%d}, the newest was {item.newest:%Y-%m-%d}"
        )
    return ""
