"""The point-in-time join of Feast's PostgreSQL store for entities of one time: each view is read and sorted once.

Feast's query joins at any times, for which it reads each view's rows three times and the entities three times more. Of
entities of one time both give the same rows, those of ties and without a value included.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from feast import FeatureView, RepoConfig
from feast.infra.offline_stores import offline_utils
from feast.infra.offline_stores.offline_store import RetrievalMetadata
from feast.infra.offline_stores.offline_utils import FeatureViewQueryContext
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView

from streamflow.features.copied_job import CopiedRetrievalJob
from streamflow.postgres.names import quote


class EntitiesAt(str):
    """A query of entities that all have one time. To Feast, which passes it on, it is a text like any other query.

    Attributes:
        timestamp: Name of the column of their time.
        moment: Their time.
        others: Names of the other columns.
    """

    __slots__ = ("moment", "others", "timestamp")
    timestamp: str
    moment: datetime
    others: tuple[str, ...]

    def __new__(cls, query: str, *, timestamp: str, moment: datetime, others: Sequence[str]) -> EntitiesAt:
        """Add what is known of a query's rows to its text."""
        made = super().__new__(cls, query)
        made.timestamp, made.moment, made.others = timestamp, moment, tuple(others)
        return made


def job(
    config: RepoConfig,
    feature_views: list[FeatureView],
    feature_refs: list[str],
    entities: EntitiesAt,
    registry: BaseRegistry,
    project: str,
    *,
    full_feature_names: bool,
) -> CopiedRetrievalJob | None:
    """Job of the join; None if a view has several keys or none, whose join is left to Feast."""
    moment = entities.moment
    views = offline_utils.get_feature_view_query_context(
        feature_refs, feature_views, registry, project, (moment, moment)
    )
    if any(len(view.entities) != 1 for view in views):
        return None
    return CopiedRetrievalJob(
        query=query(entities, views, full_feature_names=full_feature_names),
        config=config,
        full_feature_names=full_feature_names,
        on_demand_feature_views=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
        metadata=RetrievalMetadata(
            features=feature_refs,
            keys=list(entities.others),
            min_event_timestamp=moment,
            max_event_timestamp=moment,
        ),
    )


def query(entities: EntitiesAt, views: Sequence[FeatureViewQueryContext], *, full_feature_names: bool) -> str:
    """SELECT of the columns of the entities and the features of views, each of which has one key. Pure."""
    columns = [f"entities.{quote(name)}" for name in (*entities.others, entities.timestamp)]
    joins = []
    for i, view in enumerate(views):
        for j, feature in enumerate(view.features):
            name = view.field_mapping.get(feature, feature)
            shown = f"{view.name}__{name}" if full_feature_names else name
            columns.append(f"v{i}.f{j} AS {quote(shown)}")
        joins.append(
            f"LEFT JOIN ({_newest(view, entities.moment)}) AS v{i} ON v{i}.key = entities.{quote(view.entities[0])}"
        )
    return f"SELECT {', '.join(columns)} FROM ({entities}) AS entities {' '.join(joins)}"


def _newest(view: FeatureViewQueryContext, moment: datetime) -> str:
    """SELECT of the key and the features of each entity's newest row at a time; of all its newest rows, if they tie."""
    key = quote(view.entity_selections[0].partition(" AS ")[0])
    time, at = quote(view.timestamp_field), f"TIMESTAMPTZ '{moment.isoformat()}'"
    conditions, order = [f"{time} <= {at}"], f"{time} DESC"
    if view.ttl:
        conditions.append(f"{time} >= {at} - {view.ttl} * interval '1 second'")
    if view.created_timestamp_column:
        created = quote(view.created_timestamp_column)
        # Feast, too, passes over rows of which nobody knows when they came.
        conditions.append(f"{created} IS NOT NULL")
        order += f", {created} DESC"
    features = "".join(f", {quote(feature)} AS f{j}" for j, feature in enumerate(view.features))
    rows = (
        f"SELECT {key} AS key{features}, rank() OVER (PARTITION BY {key} ORDER BY {order}) AS place"
        f" FROM {view.table_subquery} AS rows WHERE {' AND '.join(conditions)}"
    )
    return f"SELECT * FROM ({rows}) AS ranked WHERE place = 1"
