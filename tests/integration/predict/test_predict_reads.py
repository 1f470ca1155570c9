"""How predict reads the online store: by index, whatever PostgreSQL thinks of the tables."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa

from streamflow.mlflow_api.transport import registry
from streamflow.postgres.engine import transaction
from streamflow.predict.features.online import ReadPlan
from streamflow.predict.features.store import Lane
from streamflow.registry import artifacts, versions


def test_a_batch_is_read_by_index_even_where_scans_look_cheaper(simulated, users):
    with registry(simulated) as client:
        release = artifacts.verified_release(client, simulated, versions.get(simulated, 1))
    plan = ReadPlan(release.contract)
    asked = (users * 256)[:256]

    async def read() -> tuple[list[str], int]:
        lane = Lane(simulated.database)
        try:
            lines = await lane.fetch(f"EXPLAIN {plan.statement}", asked, timeout=5)
            return [line[0] for line in lines], len(await lane.fetch(plan.statement, asked, timeout=5))
        finally:
            lane.drop()

    lines, rows = asyncio.run(read())
    assert rows == len(asked)
    assert sum("Index Scan" in line for line in lines) == len(plan.views)
    assert not any("Seq Scan" in line for line in lines)
    # Without the lane's settings, for the same keys, PostgreSQL reads whole tables of this size.
    with transaction(simulated.database) as connection:
        usual = connection.execute(
            sa.text(f"EXPLAIN {plan.statement.replace('$1::text[]', 'CAST(:keys AS text[])')}"),
            {"keys": asked},
        )
        assert any("Seq Scan" in line[0] for line in usual)
