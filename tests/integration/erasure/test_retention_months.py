"""Whole old months are dropped, newer ones stay as they are, and what was promised still holds.

The tests of this module run in order, on one install: three months are lived, the first is dropped and looked for.
"""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from a_person import run, scalar
from test_erase import artifacts

from streamflow.audit.replay import replay
from streamflow.audit.reproduce.rerun import reproduce
from streamflow.challenger import train
from streamflow.erasure import acts, months
from streamflow.errors import Busy, DependencyDown, NotFound, NotYet
from streamflow.jobs import catalog
from streamflow.jobs.ingest import ingest_folder
from streamflow.jobs.materialize import materialize
from streamflow.jobs.score import score_as_of
from streamflow.local.simulate import Simulation, simulate
from streamflow.mlflow_api.transport import RegistryClient
from streamflow.model_version import files
from streamflow.postgres import drop_numbers, locks
from streamflow.postgres.engine import transaction
from streamflow.postgres.job_results import Idle
from streamflow.registry import versions
from streamflow.registry.promote import promote
from streamflow.settings import RetentionSettings

pytestmark = [pytest.mark.postgres, pytest.mark.stack]
BEFORE = datetime(2024, 2, 1, tzinfo=UTC)
AS_OF = drop_numbers.as_of()
AWAY = "http://127.0.0.1:9"
GONE = "months before 2024-02 were dropped by retention.months"


class _Killed(BaseException):
    """What a kill is to the code: nothing after it runs."""


@pytest.fixture(scope="module")
def world(install, tmp_path_factory):
    """Three months with a version of the first and one of the second, each scored, and a quarantined row in each drop."""
    settings = install.model_copy(
        update={
            "retention": RetentionSettings(months=2),
            "training": install.training.model_copy(update={"estimators": ("logistic_regression",)}),
        }
    )
    drops = simulate(
        settings.feast.repo, tmp_path_factory.mktemp("delivered") / "drops", Simulation(users=300, months=3)
    )
    assert [drop.as_of.month for drop in drops] == [1, 2, 3]
    for drop in drops:
        with (drop.folder / "users.csv").open("a") as file:
            file.write("too,few\n")
        ingest_folder(settings, drop.folder, drop.as_of)
        materialize(settings)
    for number, drop in enumerate(drops[:2]):
        version = train(settings, drop.as_of, estimator="logistic_regression").version
        if number == 0:
            for alias in ("staging", "production"):
                promote(settings.backends, version, alias, why="a test", by="tests")
        score_as_of(settings, drop.as_of)
    # A user who left: the online store has a row of the first month alone.
    left = "UPDATE online.usage_agg_30d_fv SET event_timestamp = '2024-01-31' WHERE user_id = :user"
    run(settings, left, user=user(settings))
    return settings


def user(settings):
    return scalar(settings, "SELECT min(user_id) FROM source.users")


def tables(settings):
    with transaction(settings.database) as connection:
        found = connection.execute(sa.text("SELECT relation::text FROM streamflow.entity_tables()")).scalars()
        return [name for name in found if name.startswith(("source.", "online."))]


def dated(name):
    return AS_OF if name.startswith("source.") else "event_timestamp"


def digest(settings, name, condition):
    rows = "md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), ''))"
    return scalar(settings, f"SELECT {rows} FROM {name} t WHERE {condition}")


def kept(settings):
    """A digest of what is kept: each table from the first kept month on, with the scores and the quarantine of it."""
    found = {name: digest(settings, name, f"{dated(name)} >= '{BEFORE}'") for name in tables(settings)}
    newer = f"(SELECT scoring_id FROM streamflow.scorings WHERE as_of >= '{BEFORE}')"
    found["scores"] = digest(settings, "streamflow.scores", f"scoring_id IN {newer}")
    drops = f"(SELECT drop_id FROM streamflow.drops WHERE as_of >= '{BEFORE}')"
    found["quarantine"] = digest(settings, "streamflow.quarantine", f"drop_id IN {drops}")
    found["ledger"] = digest(settings, "streamflow.drops", "true")
    return found


def count(settings, name, column="as_of"):
    return scalar(settings, f"SELECT count(*) FROM {name} WHERE {column} < '{BEFORE}'")


def old_rows(settings):
    """The number of rows of old months, by table."""
    counts = {name: count(settings, name, dated(name)) for name in tables(settings)}
    for name in ("scores", "scoring_refusals"):
        counts[f"streamflow.{name}"] = count(
            settings, f"streamflow.{name} JOIN streamflow.scorings USING (scoring_id)"
        )
    counts["streamflow.quarantine"] = count(
        settings, "streamflow.quarantine JOIN streamflow.drops USING (drop_id)"
    )
    return {name: number for name, number in counts.items() if number}


def acts_of(settings):
    with transaction(settings.database) as connection:
        return connection.execute(
            sa.text("SELECT before, months, counts FROM streamflow.forgotten_months")
        ).all()


def run_of(settings, version):
    return versions.get(settings.mlflow, version).run_id


def stored(settings, version):
    """The files of a version's training set."""
    part = f"{run_of(settings, version)}/artifacts/{files.TRAINING_SET}/"
    return {
        path: content
        for path, content in artifacts(settings).items()
        if part in path and path.endswith((files.ROWS, files.SPLIT))
    }


def rows_of(settings, version):
    import io

    import pandas as pd

    return {
        path.rsplit("/", 1)[-1]: len(pd.read_parquet(io.BytesIO(c)))
        for path, c in stored(settings, version).items()
    }


def reproduced(settings, version):
    return reproduce(settings.backends, settings.training, settings.build, run_of(settings, version))


@pytest.fixture(scope="module")
def before(world):
    """What there was: the rows that go, the rows that stay, and the files of the newer version."""
    return old_rows(world), kept(world), stored(world, 2)


def test_without_the_knob_nothing_is_dropped(world, before):
    unset = world.model_copy(update={"retention": RetentionSettings()})
    assert catalog.recipe("retention")(unset) == Idle("retention.months is not set")
    assert (old_rows(world), acts_of(world)) == (before[0], [])
    assert {"source.users", "online.usage_agg_30d_fv", "streamflow.scores", "streamflow.quarantine"} <= set(
        before[0]
    )


def test_more_months_than_there_are_drop_nothing_and_record_nothing(world, before):
    many = world.model_copy(update={"retention": RetentionSettings(months=3)})
    assert catalog.recipe("retention")(many).rows == {}
    assert (old_rows(world), acts_of(world)) == (before[0], [])


def test_while_a_job_that_copies_rows_runs_nothing_is_dropped(world, before, monkeypatch):
    monkeypatch.setattr(acts, "_WAIT_SECONDS", 0.1)
    with locks.held(world.database, locks.of_job("train"), 5), pytest.raises(Busy, match="job:train"):
        catalog.recipe("retention")(world)
    assert old_rows(world) == before[0]


def test_without_mlflow_the_job_says_what_is_left_and_the_run_is_not_said_to_be_tampered_with(world, before):
    away = world.model_copy(update={"mlflow": world.mlflow.model_copy(update={"tracking_uri": AWAY})})
    with pytest.raises(DependencyDown, match="training sets of runs of before 2024-02 are left"):
        catalog.recipe("retention")(away)
    assert old_rows(world) == {}
    assert set(rows_of(world, 1).values()) != {0}
    done = reproduced(world, 1)
    assert (done.verdict, done.exit_code) == ("cannot tell", 4)
    assert GONE in str(done.layers)


@pytest.mark.parametrize("uploads", [0, 1])
def test_a_killed_run_changes_nothing_that_the_next_cannot_complete(world, before, monkeypatch, uploads):
    done, upload = [], RegistryClient.upload

    def killed(client, path, content, size):
        if len(done) == uploads:
            raise _Killed
        done.append(path)
        upload(client, path, content, size)

    monkeypatch.setattr(RegistryClient, "upload", killed)
    with pytest.raises(_Killed):
        catalog.recipe("retention")(world)
    assert reproduced(world, 1).verdict == "cannot tell"


def test_the_next_run_completes_it(world, before):
    result = catalog.recipe("retention")(world)
    assert (result.before, result.rows, result.runs) == (BEFORE, {}, 1)
    assert rows_of(world, 1) == {files.ROWS: 0, files.SPLIT: 0}


def test_it_is_recorded_once_with_counts_and_nobody_changes_the_record(world, before):
    assert [(act.before, act.months, act.counts) for act in acts_of(world)] == [(BEFORE, 2, before[0])]
    for statement in (
        "DELETE FROM streamflow.forgotten_months",
        "UPDATE streamflow.forgotten_months SET months = 9",
        "TRUNCATE streamflow.forgotten_months",
        "INSERT INTO streamflow.forgotten_months (before, months, counts) VALUES (now(), 1, '{}')",
    ):
        with pytest.raises(sa.exc.DBAPIError, match=r"append-only|by the functions"):
            run(world, statement)


def test_the_old_month_is_nowhere_and_newer_ones_are_equal_to_the_last_byte(world, before):
    assert old_rows(world) == {}
    assert kept(world) == before[1]
    assert stored(world, 2) == before[2]
    assert scalar(
        world, f"SELECT bool_and((removed_at IS NOT NULL) = (as_of < '{BEFORE}')) FROM streamflow.scorings"
    )


def test_another_run_does_nothing(world, before):
    result = catalog.recipe("retention")(world)
    assert (result.rows, result.runs) == ({}, 0)
    assert len(acts_of(world)) == 1
    assert kept(world) == before[1]


def test_a_run_of_the_old_month_cannot_be_told_and_one_of_a_newer_month_is_reproduced(world, before):
    old, new = reproduced(world, 1), reproduced(world, 2)
    assert (old.verdict, old.exit_code) == ("cannot tell", 4)
    assert GONE in str(old.layers)
    assert "cannot be used" not in str(old.layers)
    assert "not the one" not in str(old.layers)
    assert (new.verdict, new.exit_code) == ("reproduced", 0), new.layers


def change(settings, assignment):
    """Change a user's row of the newer version's month, as an administrator could."""
    one = f"{AS_OF} BETWEEN '2024-02-01' AND '2024-03-01'"
    with transaction(settings.database) as connection:
        connection.execute(sa.text("ALTER TABLE source.subscriptions DISABLE TRIGGER USER"))
        connection.execute(
            sa.text(
                f"UPDATE source.subscriptions SET {assignment} WHERE {one}"
                f" AND user_id = (SELECT max(user_id) FROM source.subscriptions WHERE {one})"
            )
        )
        connection.execute(sa.text("ALTER TABLE source.subscriptions ENABLE TRIGGER USER"))


def test_a_row_of_a_newer_month_that_somebody_changed_is_still_found(world, before):
    change(world, "monthly_fee = monthly_fee + 1")
    found = reproduced(world, 2).verdict
    change(world, "monthly_fee = monthly_fee - 1")
    assert found == "differs"
    assert reproduced(world, 2).verdict == "reproduced"


def test_an_answer_of_the_old_month_is_said_to_be_gone(world, before):
    moment = scalar(
        world,
        "SELECT min(recorded_at) - interval '1 microsecond' FROM streamflow.forgotten_months",
    )
    first = scalar(
        world, "SELECT min(visible_at) FROM online.materializations WHERE newest_as_of >= '2024-02-01'"
    )
    promoted = scalar(world, "SELECT min(moved_at) FROM streamflow.promotions")
    assert first < promoted < moment
    found = replay(world.backends, world.predict, "nobody-of-now", moment)
    assert found.dropped == GONE
    assert replay(world.backends, world.predict, user(world), datetime.now(UTC)).dropped == ""


def test_all_jobs_go_on(world, before):
    for job in ("materialize", "monitor", "audit", "backup"):
        result = catalog.recipe(job)(world)
        assert job != "audit" or result.chain_ok
    with pytest.raises(NotFound, match="No labels of 2024-01-31"):
        train(world, datetime(2024, 1, 31, tzinfo=UTC).date(), estimator="logistic_regression")
    assert train(world, estimator="logistic_regression").version == 3
    score_as_of(world)
    assert kept(world)["ledger"] == before[1]["ledger"]
    assert old_rows(world) == {}


def test_what_a_wrong_date_in_the_future_brings_takes_no_month_along(world, before):
    with transaction(world.database) as connection:
        connection.execute(
            sa.text(
                "INSERT INTO streamflow.drops (drop_id, as_of, sequence, digest, loaded_at, loaded_by, origin, accepted,"
                " quarantined) VALUES ('wrong', '2999-01-31', 1, 'd', now(), 'tests', 'x', 0, 0)"
            )
        )
        found = connection.execute(sa.text("SELECT before FROM streamflow.forget_months(1200)")).scalar_one()
        connection.rollback()
    assert found < BEFORE


def test_less_than_one_month_is_refused_and_before_the_first_drop_nothing_is_dropped(world, settings):
    with pytest.raises(sa.exc.DBAPIError, match="not possible"):
        months.forget(world.database, 0)
    fresh = settings.model_copy(update={"retention": RetentionSettings(months=1)})
    with pytest.raises(NotYet):
        catalog.recipe("retention")(fresh)
