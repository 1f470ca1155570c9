"""Feast's data sources: views of the append-only source tables, one row per user, as-of and load time."""

from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource


def _snapshots(table: str, about: str) -> PostgreSQLSource:
    # Without a schema, so that the offline store's `db_schema` selects it: `features`, with all rows, or one
    # that is frozen at a known-at.
    return PostgreSQLSource(
        name=table,
        table=table,
        timestamp_field="as_of",
        created_timestamp_column="loaded_at",
        description=about,
        tags={"schema": "features"},
    )


subscriptions_profile = _snapshots("subscriptions_profile_snapshots", "Subscriptions, by as-of.")
usage_agg_30d = _snapshots("usage_agg_30d_snapshots", "Usage, by as-of.")
payments_agg_90d = _snapshots("payments_agg_90d_snapshots", "Payments, by as-of.")
support_agg_90d = _snapshots("support_agg_90d_snapshots", "Support, by as-of.")
