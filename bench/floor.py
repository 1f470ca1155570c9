"""The lower bound of a feature read: pgbench selecting one wide row by primary key."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import sqlalchemy as sa

from bench.measure import BenchError, Figures
from bench.world import World
from streamflow.local import postgres
from streamflow.postgres.engine import transaction

_TABLE = "bench.wide"


def prepare(world: World, folder: Path) -> Path:
    """Copy a feature view under an integer key, which pgbench can draw at random; return pgbench's script."""
    with transaction(world.settings.database) as connection:
        connection.execute(sa.text("CREATE SCHEMA bench"))
        connection.execute(
            sa.text(
                f"CREATE TABLE {_TABLE} AS SELECT row_number() OVER () AS n, v.* FROM online.subs_profile_fv v"
            )
        )
        connection.execute(sa.text(f"ALTER TABLE {_TABLE} ADD PRIMARY KEY (n)"))
        rows = connection.execute(sa.text(f"SELECT count(*) FROM {_TABLE}")).scalar_one()
        connection.execute(sa.text(f"ANALYZE {_TABLE}"))
    script = folder / "select.sql"
    script.write_text(f"\\set n random(1, {rows})\nSELECT * FROM {_TABLE} WHERE n = :n;\n", encoding="ascii")
    return script


def run(world: World, script: Path, *, clients: int, seconds: float) -> Figures:
    """Run pgbench once; return its figures.

    Raises:
        BenchError: `pgbench` failed, or its output could not be parsed.
    """
    database = world.settings.database
    command = [postgres.binary("pgbench"), "-n", "-M", "prepared", "-c", str(clients), "-j", "1"]
    command += [
        "-T",
        str(max(1, round(seconds))),
        "-f",
        str(script),
        "-h",
        database.host,
        "-p",
        str(database.port),
    ]
    command += ["-U", database.user, database.name]
    done = subprocess.run(
        command,
        env={**os.environ, "PGPASSWORD": database.secret},
        capture_output=True,
        text=True,
        check=False,
    )
    rate = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    latency = re.search(r"^latency average = ([\d.]+) ms", done.stdout, re.MULTILINE)
    count = re.search(r"actually processed: (\d+)", done.stdout)
    if done.returncode or not (rate and latency and count):
        raise BenchError(f"pgbench failed: {done.stderr.strip()[-500:]}")
    return {
        "requests_per_s": round(float(rate[1]), 1),
        "p50_ms": float(latency[1]),
        "answers": int(count[1]),
        "errors": 0,
    }
