"""Read the result of Feast's query by COPY, so that no value becomes a Python object on its way to Arrow.

Feast fetches rows from a cursor and makes Arrow arrays of Python's lists, which takes 20 times the memory of the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import PostgreSQLRetrievalJob
from feast.infra.utils.postgres.connection_utils import _get_conn
from feast.type_map import pg_type_code_to_arrow

from streamflow.postgres.copied import parse

_BLOCK_BYTES = 1 << 20

# bool, int2, int4, int8, float4, float8, text, varchar, bpchar
_AS_THEY_ARE = (16, 21, 23, 20, 700, 701, 25, 1043, 1042)
# timestamptz, timestamp, date
_AS_MICROSECONDS = (1184, 1114, 1082)
_CODES = {**dict.fromkeys(_AS_THEY_ARE, False), **dict.fromkeys(_AS_MICROSECONDS, True)}
"""Object ids of the types whose every value CSV gives back, and whether they are copied as microseconds since 1970."""


class CopiedRetrievalJob(PostgreSQLRetrievalJob):  # type: ignore[misc]
    """A retrieval job of Feast's PostgreSQL store that gives the same table by COPY.

    A result with a column of another type, such as a list or JSON, is read as Feast reads it.
    """

    @classmethod
    def like(cls, job: PostgreSQLRetrievalJob) -> CopiedRetrievalJob:
        """The same job, which reads by COPY."""
        return cls(
            query=job._query_generator,
            config=job.config,
            full_feature_names=job.full_feature_names,
            on_demand_feature_views=job.on_demand_feature_views,
            metadata=job.metadata,
        )

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with self._query_generator() as query, _get_conn(self.config.offline_store) as connection:
            connection.read_only = True
            columns = _columns(connection, query)
            if connection.info.encoding == "utf-8" and all(code in _CODES for _, code in columns):
                return _copied(connection, query, columns)
        return super()._to_arrow_internal(timeout)


def _columns(connection: Any, query: str) -> list[tuple[str, int]]:
    """Name and type of each column of a query's result."""
    described = connection.execute(f"SELECT * FROM (\n{query}\n) AS described LIMIT 0").description
    return [(column.name, column.type_code) for column in described or ()]


def _copied(connection: Any, query: str, columns: Sequence[tuple[str, int]]) -> pa.Table:
    # Columns are numbered, because two views may have features with the same name.
    names = [f"c{i}" for i in range(len(columns))]
    values = [
        f"(extract(epoch FROM {name}) * 1000000)::bigint" if _CODES[code] else name
        for name, (_, code) in zip(names, columns, strict=True)
    ]
    wanted: list[pa.DataType] = [pg_type_code_to_arrow(code) for _, code in columns]
    read = {
        name: pa.int64() if _CODES[code] else kind
        for name, (_, code), kind in zip(names, columns, wanted, strict=True)
    }
    select = f"SELECT {', '.join(values)} FROM (\n{query}\n) AS result ({', '.join(names)})"
    # A server or a login may ask for fewer digits than a float has.
    connection.execute("SET LOCAL extra_float_digits TO 1")
    blocks = [parse(block, read) for block in _blocks(connection, f"COPY ({select}) TO STDOUT (FORMAT csv)")]
    whole = pa.concat_tables(blocks) if blocks else _empty(read)
    return pa.table(
        [column.cast(kind) for column, kind in zip(whole.columns, wanted, strict=True)],
        names=[name for name, _ in columns],
    )


def _empty(types: Mapping[str, pa.DataType]) -> pa.Table:
    return pa.schema(list(types.items())).empty_table()


def _blocks(connection: Any, statement: str) -> Iterator[bytes]:
    """The output of a COPY in blocks of whole rows: PostgreSQL sends each row by itself."""
    with connection.cursor().copy(statement) as copy:
        rows: list[bytes] = []
        size = 0
        for row in copy:
            rows.append(bytes(row))
            size += len(rows[-1])
            if size >= _BLOCK_BYTES:
                yield b"".join(rows)
                rows, size = [], 0
        if rows:
            yield b"".join(rows)
