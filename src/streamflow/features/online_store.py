"""An online store for Feast: one wide, typed PostgreSQL table per feature view, readable in psql.

It replaces Feast's own PostgreSQL store, which writes one row per feature with executemany (minutes for
100,000 users) and does not recover from a restart of PostgreSQL.

Feast loads the class by its path in `feature_store.yaml`. `feast materialize`, Feast's feature server and the
predict service share these tables:

    online.<feature view>(<join key> PRIMARY KEY, <features>, event_timestamp, created_timestamp, materialization_id)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa
from feast import Entity, FeatureView, RepoConfig
from feast.errors import FeastError
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.utils.postgres.postgres_config import PostgreSQLConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.types import FeastType
from pydantic import SecretStr

from streamflow import types
from streamflow.errors import DependencyDown, UsageError
from streamflow.postgres import catalog
from streamflow.postgres.engine import engine, translated
from streamflow.postgres.names import quote
from streamflow.postgres.newest import per_entity
from streamflow.settings import DatabaseSettings

STAMPS = ("event_timestamp", "created_timestamp", "materialization_id")
"""Columns of every online table, after its keys and features."""
_WRITTEN_BY_FEAST = 0
"""Materialization id of rows that were pushed through Feast's API instead of being materialized."""

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


class OnlineStoreDownError(FeastError):  # type: ignore[misc]
    """PostgreSQL cannot be read now; a request to Feast's server is answered with 503."""

    def http_status_code(self) -> int:
        """Return 503."""
        return 503


class WideOnlineStoreConfig(PostgreSQLConfig):  # type: ignore[misc]
    """Connection settings of the online store, with the fields of Feast's own PostgreSQL stores."""

    type: Literal["streamflow.features.online_store.WideOnlineStore"] = (
        "streamflow.features.online_store.WideOnlineStore"
    )


def database_settings(config: PostgreSQLConfig) -> DatabaseSettings:
    """Convert Feast's connection settings to ours, so that both share a pool that survives restarts."""
    return DatabaseSettings(
        host=config.host,
        port=config.port,
        name=config.database,
        user=config.user,
        password=SecretStr(config.password),
        sslmode=config.sslmode or "prefer",
    )


def key_columns(view: FeatureView) -> list[str]:
    """Join keys of a view, sorted by name."""
    # A view whose schema does not list its keys has no entity columns until Feast infers them in `apply`.
    return sorted(column.name for column in view.entity_columns) or list(view.join_keys)


def feature_names(view: FeatureView) -> list[str]:
    """Names of a view's features, in the order of the feature repo."""
    return [feature.name for feature in view.features]


def sql_type(dtype: FeastType) -> str:
    """PostgreSQL type of a Feast type.

    Raises:
        UsageError: The type is an array, a map or another one that has no column type here.
    """
    try:
        return types.FEAST_COLUMNS[str(dtype)]
    except (KeyError, TypeError):
        raise UsageError(
            f"The online store has no column type for {dtype}.",
            hint=f"Use one of {', '.join(types.FEAST_COLUMNS)} in the feature view.",
        ) from None


class WideOnlineStore(OnlineStore):  # type: ignore[misc]
    """One wide table per feature view; a read is one primary-key lookup."""

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: Sequence[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows with COPY and one upsert; an older row never replaces a newer one."""
        keys, features = key_columns(table), feature_names(table)
        columns = [*keys, *features, *STAMPS]
        target = quote(config.online_store.db_schema, table.name)
        with engine(database_settings(config.online_store)).begin() as connection:
            # COPY cannot resolve conflicts, so the rows go through a temporary table.
            connection.exec_driver_sql(
                f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT * FROM {target} WITH NO DATA"
            )
            cursor = connection.connection.cursor()
            listed = ", ".join(quote(column) for column in columns)
            with cursor.copy(f"COPY incoming ({listed}) FROM STDIN") as copy:
                for entity_key, values, event_timestamp, created_timestamp in data:
                    by_key = dict(
                        zip(entity_key.join_keys, map(native, entity_key.entity_values), strict=True)
                    )
                    copy.write_row(
                        [
                            *(by_key[key] for key in keys),
                            *(native(values[name]) if name in values else None for name in features),
                            event_timestamp,
                            created_timestamp,
                            _WRITTEN_BY_FEAST,
                        ]
                    )
            connection.exec_driver_sql(upsert(target, keys, features, newest("incoming", keys, columns)))
        if progress:
            progress(len(data))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Read rows in the order of `entity_keys`; an unknown entity gives (None, None)."""
        keys = key_columns(table)
        wanted = [f for f in table.features if requested_features is None or f.name in requested_features]
        columns = ", ".join(quote(column) for column in [*keys, *(f.name for f in wanted), "event_timestamp"])
        values = [
            tuple(dict(zip(k.join_keys, map(native, k.entity_values), strict=True))[key] for key in keys)
            for k in entity_keys
        ]
        where = f"({', '.join(quote(key) for key in keys)}) IN :entities"
        statement = sa.text(
            f"SELECT {columns} FROM {quote(config.online_store.db_schema, table.name)} WHERE {where}"
        ).bindparams(sa.bindparam("entities", expanding=True))
        database = database_settings(config.online_store)
        try:
            with translated(database), engine(database).connect() as connection:
                rows = connection.execute(statement, {"entities": list(set(values))}).all()
        except DependencyDown as error:
            raise OnlineStoreDownError(str(error)) from error
        found = {tuple(row[: len(keys)]): tuple(row[len(keys) :]) for row in rows}
        return [_answer(found.get(value), wanted) for value in values]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Create the tables of kept views, add the columns of new features, drop the tables of removed views."""
        schema = config.online_store.db_schema
        with engine(database_settings(config.online_store)).begin() as connection:
            for view in tables_to_delete:
                connection.exec_driver_sql(f"DROP TABLE IF EXISTS {quote(schema, view.name)}")
            for view in tables_to_keep:
                present = catalog.columns(connection, schema, [view.name]).get(view.name, {})
                for statement in table_statements(schema, view, present.keys()):
                    connection.exec_driver_sql(statement)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Drop the tables of the given views."""
        self.update(config, tables, [], entities, [], partial=False)


def table_statements(schema: str, view: FeatureView, held: Set[str] = frozenset()) -> list[str]:
    """SQL that creates a view's table, or adds its missing columns to an existing one.

    Args:
        schema: Schema of the online tables.
        view: The feature view.
        held: Columns that the table already has. No ALTER is issued for them: even one that changes nothing
            takes a lock that stops predict from reading the table until the transaction ends.
    """
    table = quote(schema, view.name)
    types = {column.name: sql_type(column.dtype) for column in view.entity_columns}
    keys = key_columns(view)
    columns = [f"{quote(key)} {types.get(key, 'text')} NOT NULL" for key in keys]
    columns += [f"{quote(feature.name)} {sql_type(feature.dtype)}" for feature in view.features]
    columns += [
        "event_timestamp timestamptz NOT NULL",
        "created_timestamp timestamptz",
        "materialization_id bigint",
    ]
    primary = ", ".join(quote(key) for key in keys)
    return [
        f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(columns)}, PRIMARY KEY ({primary})) WITH (fillfactor = 50)",
        *(
            f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {quote(feature.name)} {sql_type(feature.dtype)}"
            for feature in view.features
            if feature.name not in held
        ),
    ]


def newest(source: str, keys: Sequence[str], columns: Sequence[str]) -> str:
    """SELECT of each entity's newest row in a table that has the columns of an online table."""
    # A row that was pushed without a creation time is older than any that has one.
    stamps = ["event_timestamp", "coalesce(created_timestamp, '-infinity')"]
    return per_entity([quote(column) for column in columns], source, [quote(key) for key in keys], stamps)


def upsert(target: str, keys: Sequence[str], features: Sequence[str], select: str) -> str:
    """INSERT of the rows of `select` that replaces older rows and leaves newer ones unchanged."""
    columns = [*keys, *features, *STAMPS]
    changed = ", ".join(f"{quote(column)} = EXCLUDED.{quote(column)}" for column in [*features, *STAMPS])
    return (
        f"INSERT INTO {target} AS held ({', '.join(quote(column) for column in columns)}) {select}"
        f" ON CONFLICT ({', '.join(quote(key) for key in keys)}) DO UPDATE SET {changed}"
        " WHERE (held.event_timestamp, coalesce(held.created_timestamp, '-infinity'))"
        " <= (EXCLUDED.event_timestamp, coalesce(EXCLUDED.created_timestamp, '-infinity'))"
    )


def native(value: Value) -> Any:
    """The Python value inside a Feast value; None if the value is null or empty."""
    kind = value.WhichOneof("val")
    if kind in (None, "null_val"):
        return None
    inside = getattr(value, kind)
    return datetime.fromtimestamp(inside, UTC) if kind == "unix_timestamp_val" else inside


def _answer(
    row: tuple[Any, ...] | None, features: Sequence[Any]
) -> tuple[datetime | None, dict[str, Value] | None]:
    if row is None:
        return None, None
    values, event_timestamp = row[:-1], row[-1]
    protos = {
        feature.name: python_values_to_proto_values([value], feature.dtype.to_value_type())[0]
        for feature, value in zip(features, values, strict=True)
    }
    return event_timestamp, protos
