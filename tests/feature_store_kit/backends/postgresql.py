"""PostgreSQL: StreamFlow's offline store, batch engine and online store in one database."""

from __future__ import annotations

import contextlib

import pandas as pd
import sqlalchemy as sa
from feast import FeatureStore, RepoConfig
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from kit_backend import CREATED, EVENT, FEATURES, KEY, Backend, Opened

from streamflow.postgres.engine import engine, transaction

TYPES = {"number": "bigint", "amount": "double precision", "flag": "boolean", "word": "text", KEY: "text"}


class OnlineInPostgresql(Opened):
    """A store whose values and watermarks are in PostgreSQL's schema `online`."""

    def __init__(self, database, store):
        self.database, self.store = database, store

    def source(self, table):
        return PostgreSQLSource(
            name=table, table=table, timestamp_field=EVENT, created_timestamp_column=CREATED
        )

    @contextlib.contextmanager
    def failing_writes(self, view):
        # Every table that is made like this one refuses every row.
        with transaction(self.database) as connection:
            connection.exec_driver_sql("CREATE DOMAIN public.nothing AS text CHECK (VALUE = 'never')")
            connection.exec_driver_sql(
                f"ALTER TABLE online.{view} ALTER COLUMN word SET DATA TYPE public.nothing USING NULL"
            )
        try:
            yield
        finally:
            with transaction(self.database) as connection:
                connection.exec_driver_sql(f"ALTER TABLE online.{view} ALTER COLUMN word SET DATA TYPE text")
                connection.exec_driver_sql("DROP DOMAIN public.nothing")

    def watermark(self, view):
        with transaction(self.database) as connection:
            statement = "SELECT max(window_end) FROM online.materializations WHERE feature_view = :view"
            return connection.execute(sa.text(statement), {"view": view}).scalar()


def config_of(database, folder, offline, batch):
    """Feast's configuration, with a registry in a file and StreamFlow's online store."""
    there = {
        "host": database.host,
        "port": database.port,
        "database": database.name,
        "user": database.user,
        "password": database.secret,
        "sslmode": database.sslmode,
    }
    return RepoConfig(
        project="kit",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": offline} | (there | {"db_schema": "kit"} if "spark" not in offline else {}),
        online_store={"type": "streamflow.features.online_store.WideOnlineStore"}
        | there
        | {"db_schema": "online"},
        batch_engine={"type": batch},
        entity_key_serialization_version=3,
    )


class PostgresqlBackend(Backend):
    """Tables in the schema `kit`, of which Feast reads views that end at the known-at."""

    name = "postgresql"

    def __init__(self, database):
        self.database = database

    @contextlib.contextmanager
    def open(self, folder, tables, known_at=None):
        with transaction(self.database) as connection:
            connection.exec_driver_sql("CREATE SCHEMA kit")
            for name, rows in tables.items():
                declared = TYPES | {EVENT: "timestamptz", CREATED: "timestamptz"}
                columns = [KEY, EVENT, CREATED, *FEATURES]
                listed = ", ".join(f"{column} {declared[column]}" for column in columns)
                connection.exec_driver_sql(f"CREATE TABLE kit.{name}_rows ({listed})")
                cursor = connection.connection.cursor()
                with cursor.copy(f"COPY kit.{name}_rows ({', '.join(columns)}) FROM STDIN") as copy:
                    for row in rows[columns].astype(object).itertuples(index=False):
                        copy.write_row([None if pd.isna(value) else value for value in row])
                until = f" WHERE {CREATED} <= TIMESTAMPTZ '{known_at.isoformat()}'" if known_at else ""
                connection.exec_driver_sql(f"CREATE VIEW kit.{name} AS SELECT * FROM kit.{name}_rows{until}")
        config = config_of(
            self.database,
            folder,
            "streamflow.features.offline_store.EmbeddingOfflineStore",
            "streamflow.features.engine.SnapshotEngine",
        )
        try:
            yield OnlineInPostgresql(self.database, FeatureStore(config=config))
        finally:
            with engine(self.database).begin() as connection:
                connection.exec_driver_sql("DROP SCHEMA kit CASCADE")
