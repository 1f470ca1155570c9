"""Predict reads the online store by index, whatever the planner's statistics are."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa

from streamflow.mlflow_api.transport import registry
from streamflow.postgres.engine import transaction
from streamflow.predict.features.connections import Connection
from streamflow.predict.features.read_plan import ReadPlan
from streamflow.registry import artifacts, versions


def test_a_batch_is_read_by_index_even_where_scans_look_cheaper(simulated, users):
    with registry(simulated.mlflow) as client:
        release = artifacts.verified(
            client, simulated.mlflow.registered_model, versions.get(simulated.mlflow, 1)
        ).release
    plan = ReadPlan(release.contract)
    asked = (users * 256)[:256]

    async def read() -> tuple[list[str], int]:
        connection = Connection(simulated.database)
        try:
            lines = await connection.fetch(f"EXPLAIN {plan.statement}", asked, timeout=5)
            return [line[0] for line in lines], len(await connection.fetch(plan.statement, asked, timeout=5))
        finally:
            connection.drop()

    lines, rows = asyncio.run(read())
    assert rows == len(asked)
    assert sum("Index Scan" in line for line in lines) == len(plan.views)
    assert not any("Seq Scan" in line for line in lines)
    # Without the connection's settings, for the same keys, PostgreSQL reads whole tables of this size.
    with transaction(simulated.database) as connection:
        usual = connection.execute(
            sa.text(f"EXPLAIN {plan.statement.replace('$1::text[]', 'CAST(:keys AS text[])')}"),
            {"keys": asked},
        )
        assert any("Seq Scan" in line[0] for line in usual)
