"""Every table, view and column has a comment: from a migration, or from the declarations of the feature repo."""

import sqlalchemy as sa

from streamflow.apply import apply
from streamflow.postgres import catalog
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import ONLINE, SCHEMAS, SOURCE
from streamflow.repo import definitions


def test_no_relation_and_no_column_lacks_a_comment(settings):
    apply(settings)
    with transaction(settings.database) as connection:
        found = {schema: catalog.comments(connection, schema) for schema in SCHEMAS}
        # The catalog's own count, so that a query that misses relations does not hide them.
        held = connection.execute(
            sa.text(
                "SELECT count(*) FROM pg_class c WHERE c.relnamespace = ANY(CAST(:schemas AS regnamespace[]))"
                " AND c.relkind IN ('r', 'v', 'm', 'p', 'f') AND NOT c.relispartition"
            ),
            {"schemas": list(SCHEMAS)},
        ).scalar_one()
        sequence = sa.text("SELECT obj_description(CAST('streamflow.newest_stamp' AS regclass), 'pg_class')")
        assert connection.execute(sequence).scalar_one()
    lacking = [
        (schema, item.relation, item.column)
        for schema, items in found.items()
        for item in items
        if not item.text
    ]
    assert lacking == []
    assert sum(item.column is None for items in found.values() for item in items) == held
    assert all(found.values())


def test_comments_are_in_the_words_of_the_feature_repo_and_follow_them(settings):
    apply(settings)
    with transaction(settings.database) as connection:
        connection.exec_driver_sql(
            "COMMENT ON COLUMN source.usage_agg_30d.watch_hours_30d IS 'an older text'"
        )
        connection.exec_driver_sql("COMMENT ON TABLE source.users IS NULL")
    apply(settings)
    with transaction(settings.database) as connection:
        source, online = (
            {(item.relation, item.column): item.text for item in catalog.comments(connection, schema)}
            for schema in (SOURCE, ONLINE)
        )
    feature = definitions.load(settings.feast.repo).view("usage_agg_30d_fv").features[0]
    assert online["usage_agg_30d_fv", feature.name] == feature.description != ""
    assert source["usage_agg_30d", feature.name] == f"{feature.description} Null: unknown."
    assert source["users", None] == "Who the customers are, one row per customer. Append-only."
    assert "does not apply" in source["subscriptions", "plan_stream_tv"]


def test_every_definition_has_a_description_and_tags(feature_repo):
    repo = definitions.load(feature_repo)
    features = [feature for view in repo.feature_views for feature in view.features]
    defined = [*repo.entities, *repo.data_sources, *repo.feature_views, *repo.feature_services, *features]
    assert [item.name for item in defined if not (item.description and item.tags)] == []
