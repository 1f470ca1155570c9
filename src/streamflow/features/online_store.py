"""An online store for Feast: one wide, typed PostgreSQL table per feature view, readable in psql.

It replaces Feast's own PostgreSQL store, which writes one row per feature with executemany (minutes for
100,000 users) and does not recover from a restart of PostgreSQL.

Feast loads the class by its path in `feature_store.yaml`. `feast materialize`, Feast's feature server and the
predict service share these tables:

    online.<feature view>(<join key> PRIMARY KEY, <features>, event_timestamp, created_timestamp, materialization_id)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence, Set
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from feast import Entity, FeatureView, Field, RepoConfig
from feast.errors import FeastError
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.utils.postgres.postgres_config import PostgreSQLConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from pydantic import SecretStr

from streamflow.errors import DependencyDown
from streamflow.features.online_values import UnstorableValueError, column_type, native, proto, selected
from streamflow.postgres import catalog
from streamflow.postgres.engine import ColumnRefusesError, denied, engine, translated, why_refused
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


class MayNotWriteError(FeastError):  # type: ignore[misc]
    """The login may not write to the online store; a request to Feast's server is answered with 403."""

    def http_status_code(self) -> int:
        """Return 403."""
        return 403


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


def features_of(view: FeatureView) -> list[Field]:
    """Features of a view, in the order of the feature repo."""
    # A stream feature view whose schema lists its keys has them as features, too.
    keys = key_columns(view)
    return [feature for feature in view.features if feature.name not in keys]


def feature_names(view: FeatureView) -> list[str]:
    """Names of a view's features, in the order of the feature repo."""
    return [feature.name for feature in features_of(view)]


class WideOnlineStore(OnlineStore):  # type: ignore[misc]
    """One wide table per feature view; a read is one primary-key lookup.

    The asynchronous methods are for callers of their own. `async_supported` stays False: with True, Feast's server
    would also read its registry on the event loop, and answer nobody while PostgreSQL is away.
    """

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
        with _answering(config) as database, engine(database).begin() as connection:
            # COPY cannot resolve conflicts, so the rows go through a temporary table.
            connection.exec_driver_sql(
                f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT * FROM {target} WITH NO DATA"
            )
            cursor = connection.connection.cursor()
            listed = ", ".join(quote(column) for column in columns)
            with cursor.copy(f"COPY incoming ({listed}) FROM STDIN") as copy:
                for entity_key, values, event_timestamp, created_timestamp in data:
                    by_key = _by_key(entity_key)
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

    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: Sequence[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows as `online_write_batch` does, without blocking the event loop."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

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
        features = [selected(quote(f.name), f.dtype) for f in wanted]
        columns = ", ".join([*map(quote, keys), *features, "event_timestamp"])
        values = [tuple(_by_key(entity_key)[key] for key in keys) for entity_key in entity_keys]
        where = f"({', '.join(quote(key) for key in keys)}) IN :entities"
        statement = sa.text(
            f"SELECT {columns} FROM {quote(config.online_store.db_schema, table.name)} WHERE {where}"
        ).bindparams(sa.bindparam("entities", expanding=True))
        with _answering(config) as database, engine(database).connect() as connection:
            rows = connection.execute(statement, {"entities": list(set(values))}).all()
        found = {tuple(row[: len(keys)]): tuple(row[len(keys) :]) for row in rows}
        return [_answer(found.get(value), wanted) for value in values]

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Read rows as `online_read` does, without blocking the event loop; Feast reads several views at once."""
        return await asyncio.to_thread(self.online_read, config, table, entity_keys, requested_features)

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
    keys, features = key_columns(view), features_of(view)
    types = {item.name: column_type(item.dtype) for item in [*view.features, *view.entity_columns]}
    columns = [f"{quote(key)} {types.get(key, 'text')} NOT NULL" for key in keys]
    columns += [f"{quote(feature.name)} {types[feature.name]}" for feature in features]
    columns += [
        "event_timestamp timestamptz NOT NULL",
        "created_timestamp timestamptz",
        "materialization_id bigint",
    ]
    primary = ", ".join(quote(key) for key in keys)
    return [
        f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(columns)}, PRIMARY KEY ({primary})) WITH (fillfactor = 50)",
        *(
            f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {quote(feature.name)} {types[feature.name]}"
            for feature in features
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


@contextlib.contextmanager
def _answering(config: RepoConfig) -> Iterator[DatabaseSettings]:
    """Translate PostgreSQL's errors into Feast's, which its server answers with a status of their own."""
    database = database_settings(config.online_store)
    try:
        with translated(database):
            yield database
    except DependencyDown as error:
        raise OnlineStoreDownError(str(error)) from error
    except sa.exc.ProgrammingError as error:
        if denied(error):
            what = f"PostgreSQL's login '{database.user}' may not do this in the online store: {error.orig}"
            raise MayNotWriteError(what) from None
        raise
    except ColumnRefusesError as error:
        raise UnstorableValueError(f"PostgreSQL cannot hold a value as it is: {why_refused(error)}") from None


def _by_key(entity_key: EntityKey) -> dict[str, Any]:
    return dict(zip(entity_key.join_keys, map(native, entity_key.entity_values), strict=True))


def _answer(
    row: tuple[Any, ...] | None, features: Sequence[Any]
) -> tuple[datetime | None, dict[str, Value] | None]:
    if row is None:
        return None, None
    values, event_timestamp = row[:-1], row[-1]
    protos = {
        feature.name: proto(value, feature.dtype) for feature, value in zip(features, values, strict=True)
    }
    return event_timestamp, protos
