"""Reads "as of A, as known at K" on a real PostgreSQL equal those of a model in plain Python, however clocks step."""

import csv
import shutil
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from clocks import DAY, TICK, Clocks
from hypothesis import HealthCheck, Phase, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from streamflow.apply import apply
from streamflow.drops import ledger
from streamflow.drops.load import Into, load
from streamflow.drops.rows import InTables
from streamflow.errors import Refused
from streamflow.jobs.materialize import materialize
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import quote
from streamflow.postgres.newest import per_entity
from streamflow.repo import definitions
from streamflow.settings import FeastSettings
from streamflow.snapshots import views
from streamflow.snapshots.as_of import newest_as_of
from streamflow.times import midnight

pytestmark = pytest.mark.postgres
REPO = Path(__file__).parents[1] / "other_repo"
DATES = (date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 1))
TURBINES = ("T-0001", "T-0002", "T-0003")
HEADERS = {
    "turbines": "turbine_id,rotor_m,foundation,moorings",
    "sensors": "turbine_id,vibration_mm_s,hot_starts,icing",
    "failures": "turbine_id,failed",
}
STEPS = [timedelta(0), TICK, -TICK, timedelta(hours=1), timedelta(hours=-1), DAY, -DAY, 40 * DAY, -40 * DAY]
values = strategies.dictionaries(strategies.sampled_from(TURBINES), strategies.integers(0, 2), min_size=1)
steps = strategies.sampled_from(STEPS)


class Model:
    """What was loaded, in order. A known-at is the number of loads before it: the model has no clock."""

    def __init__(self):
        self.loads = []

    def load(self, as_of, values):
        """Load a drop, unless the newest of its date has the same content."""
        if [held for at, held in self.loads if at == as_of][-1:] != [values]:
            self.loads.append((as_of, values))

    def read(self, as_of, known):
        """Each entity's value in the newest drop up to `as_of` that names it; of one date, in the last one loaded."""
        world = {}
        for at, values in sorted(self.loads[:known], key=lambda load: load[0]):
            if at <= as_of:
                world.update(values)
        return world


def write(folder, values):
    """Write a drop whose only feature that differs is `hot_starts`."""
    for table, header in HEADERS.items():
        with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header.split(","))
            for turbine, value in values.items():
                cells = {"turbines": (100.0, "land", ""), "sensors": (1.0, value, True), "failures": (False,)}
                writer.writerow([turbine, *cells[table]])
    return folder


class Reads(RuleBasedStateMachine):
    """Loads, reads, materializations and steps of both clocks, in any order."""

    platform = None

    @initialize()
    def begin(self):
        self.patch = pytest.MonkeyPatch()
        self.folder = Path(tempfile.mkdtemp())
        self.repo = definitions.load(self.platform.feast.repo)
        self.database = self.platform.database
        forget(self.database, self.repo)
        self.clocks = Clocks(self.database, self.patch, datetime(2026, 3, 30, 12, tzinfo=UTC))
        self.model, self.asked, self.given = Model(), [], []

    def teardown(self):
        """Set this machine's clock right."""
        if hasattr(self, "patch"):
            self.patch.undo()
            shutil.rmtree(self.folder)

    @rule(server=steps, machine=steps)
    def step_clocks(self, server, machine):
        self.clocks.machine += machine
        self.clocks.set_server(self.clocks.server + server)

    @rule()
    def step_both_clocks_by_an_hour(self):
        self.clocks.set(max(self.clocks.server, self.clocks.machine) + timedelta(hours=1))

    @rule(as_of=strategies.sampled_from(DATES), values=values)
    def load(self, as_of, values):
        folder = write(self.folder, values)
        before = self.clocks.read()
        try:
            done = load(
                Into(self.database, InTables()), self.platform.ingest, self.repo, folder, as_of, "test"
            )
        except Refused:
            assert before.refused
            return
        assert not before.refused
        loads = len(self.model.loads)
        self.model.load(as_of, values)
        assert done.changed == (len(self.model.loads) > loads)
        if done.changed:
            self.given.append(done.loaded_at)
            # A known-at at the very moment of a load sees that load; one a microsecond before does not.
            self.asked += [(done.loaded_at - TICK, loads), (done.loaded_at, loads + 1)]

    @rule()
    def take_a_known_at(self):
        before = self.clocks.read()
        try:
            known_at = self.clocks.known_now()
        except Refused:
            assert before.refused
            return
        assert not before.refused
        self.given.append(known_at)
        self.asked.append((known_at, len(self.model.loads)))

    @precondition(lambda self: self.clocks.read().refused)
    @rule()
    def accept(self):
        self.clocks.accept()
        assert not self.clocks.read().refused

    @precondition(lambda self: self.model.loads and not self.clocks.read().refused)
    @rule()
    def materialize(self):
        materialize(self.platform)
        with transaction(self.database) as connection:
            rows = connection.execute(sa.text("SELECT turbine_id, hot_starts FROM online.strain_fv")).all()
        # All dates lie in the window of the view with the longest time to live.
        newest = max(at for at, _ in self.model.loads)
        assert dict(map(tuple, rows)) == self.model.read(newest, None)

    @precondition(lambda self: self.asked)
    @rule(data=strategies.data(), as_of=strategies.sampled_from(DATES))
    def read(self, data, as_of):
        known_at, known = data.draw(strategies.sampled_from(self.asked))
        found, dates = read(self.database, self.repo, as_of, known_at)
        assert found == self.model.read(as_of, known)
        assert dates == {at for at, _ in self.model.loads[:known]}

    @invariant()
    def stamps_never_go_back(self):
        given = getattr(self, "given", [])
        assert given == sorted(set(given))


def read(database, repo, as_of, known_at):
    """The world as of a date and the dates of its drops, as training and scoring read them."""
    with transaction(database) as connection:
        dates = {entry.as_of for entry in ledger.entries(connection, known_at)}
    if dates:
        assert newest_as_of(dates) == midnight(max(dates))
    with views.frozen(database, repo, known_at) as schema, transaction(database) as connection:
        until = f"as_of <= TIMESTAMPTZ '{midnight(as_of).isoformat()}'"
        select = per_entity(
            ["turbine_id", "hot_starts"],
            quote(schema, "sensor_snapshots"),
            ["turbine_id"],
            ["as_of", "loaded_at"],
            until,
        )
        rows = connection.execute(sa.text(select))
        return {row.turbine_id: row.hot_starts for row in rows}, dates


def forget(database, repo):
    """Empty the database and set its newest stamp back."""
    tables = ["streamflow.drops", "streamflow.accepted_stamps", "online.materializations"]
    tables += [f"source.{table.name}" for table in repo.tables]
    tables += [f"online.{view.name}" for view in repo.feature_views]
    with transaction(database) as connection:
        # The tables refuse this otherwise: they are append-only.
        connection.exec_driver_sql("SET LOCAL session_replication_role = 'replica'")
        connection.exec_driver_sql(f"TRUNCATE {', '.join(tables)} CASCADE")
        connection.exec_driver_sql("SELECT setval('streamflow.newest_stamp', 0, false)")


@pytest.fixture(scope="module")
def platform(module_settings):
    made = module_settings.model_copy(
        update={"feast": FeastSettings(**module_settings.feast.model_dump() | {"repo": REPO})}
    )
    apply(made)
    return made


def test_reads_equal_those_of_the_model(platform):
    machine = type("ReadsHere", (Reads,), {"platform": platform})
    run_state_machine_as_test(
        machine,
        # No shrinking, which would take minutes here: the steps of a failure are few enough to read.
        settings=settings(
            max_examples=40,
            stateful_step_count=15,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
