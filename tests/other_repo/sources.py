"""Where Feast reads from."""

from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource

turbine_source = PostgreSQLSource(
    name="turbine_snapshots",
    table="turbine_snapshots",
    timestamp_field="as_of",
    created_timestamp_column="loaded_at",
)
sensor_source = PostgreSQLSource(
    name="sensor_snapshots",
    table="sensor_snapshots",
    timestamp_field="as_of",
    created_timestamp_column="loaded_at",
)
