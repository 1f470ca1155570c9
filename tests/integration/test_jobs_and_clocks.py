"""Jobs under clocks that are wrong, around changes of daylight saving time and ends of months. On a real PostgreSQL."""

import time
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
from clocks import DAY, TICK, Clocks

from streamflow.apply import apply
from streamflow.drops import ledger
from streamflow.errors import UsageError
from streamflow.features import training_set
from streamflow.jobs.ingest import ingest_folder
from streamflow.jobs.materialize import materialize
from streamflow.jobs.run import run
from streamflow.local.simulate import Simulation, simulate
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.snapshots import views
from streamflow.snapshots.as_of import label_as_of, newest_as_of

pytestmark = pytest.mark.postgres
JANUARY, FEBRUARY, MARCH = date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31)
# Europe's clocks went forward at 01:00 UTC on this day, and the month ended with it.
START = datetime(2024, 3, 31, 0, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def drops(settings, tmp_path):
    """Folders of three months, in a platform without data."""
    apply(settings)
    written = simulate(
        settings.feast.repo, tmp_path / "drops", Simulation(users=120, months=3, first_as_of=JANUARY)
    )
    return {date.fromisoformat(drop.folder.name): drop.folder for drop in written}


@pytest.fixture
def clocks(settings, monkeypatch):
    return Clocks(settings.database, monkeypatch, START)


def materialized(settings):
    materialize(settings)
    with transaction(settings.database) as connection:
        return (
            connection.execute(sa.text("SELECT max(newest_as_of) FROM online.materializations"))
            .scalar_one()
            .date()
        )


def trained_on(settings, as_of=None):
    """The known-at and the training set of a training that runs now."""
    repo = definitions.load(settings.feast.repo)
    with transaction(settings.database) as connection:
        known_at = clock.known_until(connection, None)
        dates = [drop.as_of for drop in ledger.entries(connection, known_at)]
    at = newest_as_of(dates, as_of)
    label_at = label_as_of(dates, at.date(), repo.label.horizon)
    with views.frozen(settings.database, repo, known_at) as schema:
        return known_at, training_set.build(
            settings.database, repo, as_of=at, label_as_of=label_at, known_at=known_at, db_schema=schema
        )


def test_a_month_loaded_while_the_clock_was_an_hour_ahead_hides_nothing(settings, drops, clocks):
    ingest_folder(settings, drops[JANUARY])
    clocks.set(START + HOUR)
    ingest_folder(settings, drops[FEBRUARY])
    clocks.set(START + timedelta(minutes=1))
    assert materialized(settings) == FEBRUARY
    assert trained_on(settings)[1].as_of.date() == FEBRUARY
    ingest_folder(settings, drops[MARCH])
    assert materialized(settings) == MARCH
    assert trained_on(settings)[1].as_of.date() == MARCH


def test_a_run_repeated_with_its_known_at_reads_the_same_after_the_clock_was_set_back(
    settings, drops, clocks
):
    """The known-at of a run is a stamp, too: a drop that comes after it, on a clock that was set back, is later."""
    ingest_folder(settings, drops[JANUARY])
    clocks.set(START + HOUR)
    known_at, first = trained_on(settings)
    clocks.set(START)
    assert ingest_folder(settings, drops[FEBRUARY]).loaded_at > known_at
    with transaction(settings.database) as connection:
        assert {drop.as_of for drop in ledger.entries(connection, known_at)} == {JANUARY}
    assert first.as_of.date() == JANUARY


@pytest.mark.fault("F21")
@pytest.mark.parametrize("off", [-DAY, DAY], ids=["a day behind", "a day ahead"])
def test_a_job_on_a_machine_whose_clock_is_a_day_off_does_the_same(settings, drops, clocks, off):
    for month in (JANUARY, FEBRUARY):
        ingest_folder(settings, drops[month])
    known_at, expected = trained_on(settings)
    ingest_folder(settings, drops[MARCH])
    clocks.set_server(START + HOUR)
    clocks.machine = clocks.server + off
    later, found = trained_on(settings, FEBRUARY)
    # March is known and in no row of February: no feature is newer than its label.
    assert (later, found.fingerprint) == (START + HOUR, expected.fingerprint)
    assert trained_on(settings)[1].fingerprint != expected.fingerprint
    assert later > known_at
    assert run(settings, "materialize", materialize) == 0
    with transaction(settings.database) as connection:
        stamps = connection.execute(
            sa.text(
                "SELECT max(materialized_at), (SELECT max(ended_at) FROM streamflow.job_runs)"
                " FROM online.materializations"
            )
        ).one()
    assert all(START + HOUR < stamp < START + HOUR + timedelta(seconds=1) for stamp in stamps)


@pytest.mark.fault("F21")
@pytest.mark.parametrize("off", [-30 * DAY, 30 * DAY], ids=["behind", "ahead"])
def test_a_server_whose_clock_is_a_month_off_loads_and_materializes_nothing(settings, drops, clocks, off):
    ingest_folder(settings, drops[JANUARY])
    materialize(settings)
    clocks.machine = START + off if off < timedelta(0) else START
    clocks.set_server(START + off)

    def folder(_):
        ingest_folder(settings, drops[FEBRUARY])

    with transaction(settings.database) as connection:
        before = connection.execute(sa.text("SELECT count(*) FROM online.materializations")).scalar_one()
    assert run(settings, "ingest", folder) == 3
    assert run(settings, "materialize", materialize) == 3
    with transaction(settings.database) as connection:
        assert ledger.dates(connection) == {JANUARY}
        count = connection.execute(sa.text("SELECT count(*) FROM online.materializations")).scalar_one()
        messages = connection.execute(sa.text("SELECT message FROM streamflow.job_runs")).scalars().all()
    assert count == before
    assert len(messages) == 2
    assert all("db clock --accept" in message for message in messages)
    clocks.accept()
    folder(settings)
    assert materialized(settings) == FEBRUARY


@pytest.fixture(params=["Pacific/Kiritimati", "Europe/Berlin", "America/New_York"])
def zone(request, monkeypatch):
    """A time zone of the machine and of PostgreSQL's sessions."""
    monkeypatch.setenv("TZ", request.param)
    monkeypatch.setenv("PGTZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.fault("F21")
def test_a_day_begins_and_a_month_ends_at_midnight_in_utc_in_every_time_zone(settings, drops, clocks, zone):
    clocks.set(datetime(2024, 3, 31, tzinfo=UTC) - TICK)
    with pytest.raises(UsageError, match="in the future; the database's date is 2024-03-30"):
        ingest_folder(settings, drops[MARCH])
    clocks.set(datetime(2024, 3, 31, tzinfo=UTC))
    done = ingest_folder(settings, drops[MARCH])
    assert (done.as_of, done.loaded_at) == (MARCH, datetime(2024, 3, 31, tzinfo=UTC))
    assert materialized(settings) == MARCH


@pytest.mark.parametrize(
    ("zone", "moment"),
    [
        ("Europe/Berlin", datetime(2024, 3, 31, 1, tzinfo=UTC)),  # 02:00 is skipped
        ("Europe/Berlin", datetime(2024, 10, 27, 1, tzinfo=UTC)),  # 02:00 comes twice
        ("America/New_York", datetime(2024, 11, 3, 6, tzinfo=UTC)),  # 01:00 comes twice
        ("Pacific/Kiritimati", datetime(2024, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ],
    indirect=["zone"],
    ids=str,
)
def test_what_is_known_grows_by_the_microsecond_across_changes_of_time(settings, drops, clocks, zone, moment):
    seen = []
    for number, folder in enumerate(drops.values()):
        clocks.set(moment + (number - 1) * TICK)
        loaded_at = ingest_folder(settings, folder).loaded_at
        with transaction(settings.database) as connection:
            seen.append(
                [
                    len(ledger.entries(connection, at))
                    for at in (loaded_at - TICK, loaded_at, clock.known_now(connection))
                ]
            )
    assert seen == [[0, 1, 1], [1, 2, 2], [2, 3, 3]]
