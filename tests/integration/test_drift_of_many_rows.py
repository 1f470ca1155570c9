"""Drift of a million users on both sides: seconds and memory. `make test-rows` runs it."""

import json
import os
import subprocess
import sys

import pytest
import sqlalchemy as sa

from source_rows import add_drop
from streamflow.apply import apply
from streamflow.postgres.engine import transaction

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.timeout(1800),
    pytest.mark.skipif("TEST_ROWS" not in os.environ, reason="takes minutes; `make test-rows` runs it"),
]

USERS, MONTHS = int(os.environ.get("TEST_USERS", "1000000")), 3
TABLES = ("subscriptions", "usage_agg_30d", "payments_agg_90d", "support_agg_90d")
VALUES = {
    "bigint": "floor(-ln(1 - random()) * 4)",
    "double precision": "random() + random() + random()",
    "boolean": "random() < 0.3",
    "text": "(ARRAY['DSL', 'Fiber optic', 'No'])[1 + floor(random() * 3)::int]",
}
KEYS = {"drop_number": ":number", "user_id": "i::text"}
COLUMNS = """
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = CAST(:name AS regclass) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''
"""
COMPARE = """
import json, re, time
from datetime import UTC, datetime
from pathlib import Path
from streamflow import settings as settings_module
from streamflow import types
from streamflow.model_version.contract import Contract, Feature, View
from streamflow.monitoring.drift import month, read
from streamflow.monitoring.drift.feature import Thresholds
from streamflow.monitoring.drift.month import Compared
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions

settings = settings_module.load()
repo = definitions.load(settings.feast.repo)
features = tuple(
    Feature(field.name, view.name, types.name_of_feast(str(field.dtype)), categories=("DSL",))
    for view in repo.feature_views
    for field in view.features
)
views = tuple(View(view.name) for view in repo.feature_views)
contract = Contract("m", "s", repo.join_key, features, views, 0.5, {}, "e", "", "", "")
began = time.monotonic()
with transaction(settings.database) as connection:
    dates = [datetime(2024, month, 1, tzinfo=UTC) for month in (1, 2)]
    one, other = (read.month(connection, repo, contract, at, datetime.now(UTC), "") for at in dates)
read_by = time.monotonic()
columns = {name: Compared(one.columns[name], other.columns[name]) for name in one.columns}
found = month.features_of(columns, 0.03, Thresholds())
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(json.dumps({
    "rows": [one.rows, other.rows],
    "features": len(found),
    "outcomes": sorted({feature.outcome for feature in found}),
    "seconds_of_reading": round(read_by - began, 1),
    "seconds": round(time.monotonic() - began, 1),
    "mib": int(peak) // 1024,
}))
"""


def load(settings):
    """Months of users with made values."""
    with transaction(settings.database) as connection:
        numbers = []
        for month in range(1, MONTHS + 1):
            moment = f"2024-0{month}-01 00:00:00+00"
            numbers.append(add_drop(connection, f"drop {month}", moment, moment))
        for table in TABLES:
            rows = connection.execute(sa.text(COLUMNS), {"name": f"source.{table}"})
            columns = {row.attname: row.format_type for row in rows}
            values = [KEYS.get(name) or VALUES[kind] for name, kind in columns.items()]
            for number in numbers:
                made = ", ".join(values).replace(":number", str(number))
                connection.execute(
                    sa.text(
                        f"INSERT INTO source.{table} ({', '.join(columns)})"
                        f" SELECT {made} FROM generate_series(1, {USERS}) AS i"
                    )
                )


def test_a_million_users_are_compared_in_a_minute_and_a_gibibyte(settings):
    apply(settings)
    load(settings)
    done = subprocess.run(
        [sys.executable, "-c", COMPARE],
        env={**os.environ, "STREAMFLOW_HOME": str(settings.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(found)
    assert found["rows"] == [USERS, USERS]
    assert (found["features"], found["outcomes"]) == (14, ["stable"])
    assert found["seconds"] < 60
    assert found["mib"] < 1024
