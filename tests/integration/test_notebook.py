"""docs/notebook.md as it stands, and DataFrames of what `streamflow` tells, through a login that may only read."""

import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import prepared
import pytest
import sqlalchemy as sa

import streamflow
from streamflow.challenger import train
from streamflow.errors import DependencyDown, NotFound, NotYet, UsageError
from streamflow.jobs import catalog, run
from streamflow.jobs.ingest import ingest_folder
from streamflow.jobs.materialize import materialize
from streamflow.jobs.score import score_as_of
from streamflow.local import home
from streamflow.local.simulate import Simulation, simulate
from streamflow.postgres.engine import engine, transaction
from streamflow.postgres.names import SCHEMAS
from streamflow.registry.promote import promote
from streamflow.repo import definitions
from streamflow.schema import prepare, roles
from streamflow.settings import DatabaseSettings, ErasureSettings, MlflowSettings

pytestmark = [pytest.mark.postgres, pytest.mark.stack]
PASSWORDS = {name: f"secret-of-{name}" for name in roles.LOGINS}
PAGE = Path(__file__).parents[2].joinpath("docs", "notebook.md").read_text(encoding="utf-8")
JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)
NOBODY = "9999-NOBODY"


def as_role(settings, role):
    return prepared.as_role(settings, PASSWORDS, role)


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def installed(module_settings, mlflow_server, tmp_path_factory):
    """Two months under roles: a version trained on January in production, everybody scored, January corrected."""
    from streamflow.apply import apply

    mlflow = module_settings.mlflow.model_dump() | {"tracking_uri": mlflow_server}
    made = prepared.named(module_settings).model_copy(update={"mlflow": MlflowSettings(**mlflow)})
    try:
        prepared.by_the_job(made, PASSWORDS, apply)
        drops = simulate(
            made.feast.repo, tmp_path_factory.mktemp("drops"), Simulation(users=300, months=2, seed=1)
        )
        for drop in drops:
            ingest_folder(as_role(made, "ingest"), drop.folder, drop.as_of)
        materialize(as_role(made, "materialize"))
        trained = train(as_role(made, "train"), JANUARY, estimator="logistic_regression")
        for alias in ("staging", "production"):
            promote(as_role(made, "train").backends, trained.version, alias, why="a test", by="tests")
        scored = score_as_of(as_role(made, "score"))
        corrected = corrected_copy(drops[0].folder)
        ingest_folder(as_role(made, "ingest"), corrected, JANUARY)
        yield made, trained, scored
    finally:
        prepared.remove(made, PASSWORDS)


def corrected_copy(folder):
    """A drop in which everybody has watched for an hour more."""
    copy = folder.with_name(f"{folder.name}-corrected")
    shutil.copytree(folder, copy)
    usage = pd.read_csv(copy / "usage_agg_30d.csv", dtype=str, keep_default_na=False)
    hours = pd.to_numeric(usage["watch_hours_30d"])
    usage["watch_hours_30d"] = (hours + 1).map(lambda value: "" if pd.isna(value) else repr(value))
    usage.to_csv(copy / "usage_agg_30d.csv", index=False)
    return copy


@pytest.fixture(scope="module")
def login(installed):
    """The login that the page makes, and the variables that it sets."""
    admin = installed[0]
    commands = "".join(blocks("bash")).replace("\\\n", " ")
    statement = re.search(r'-c "(CREATE ROLE .*?)"', commands)[1]
    variables = dict(re.findall(r"(STREAMFLOW_\w+)=(\S+)", commands))
    assert set(variables) == {f"STREAMFLOW_DATABASE__{name}" for name in ("PORT", "USER", "PASSWORD")}
    name = variables["STREAMFLOW_DATABASE__USER"]
    # Several workers share the server.
    own = admin.database.role_prefix + name
    statement = statement.replace(f" {name} ", f' "{own}" ').replace(
        "streamflow_read", f'"{admin.database.role_prefix}read"'
    )
    with prepare.autocommit(admin.database, "postgres") as connection:
        connection.exec_driver_sql(statement)
    yield variables | {
        # What a port-forward or an install of another name changes.
        "STREAMFLOW_DATABASE__PORT": str(admin.database.port),
        "STREAMFLOW_DATABASE__NAME": admin.database.name,
        "STREAMFLOW_DATABASE__USER": own,
        "STREAMFLOW_DATABASE__SSLMODE": "disable",
        "STREAMFLOW_FEAST__REPO": str(admin.feast.repo),
        "STREAMFLOW_MLFLOW__REGISTERED_MODEL": admin.mlflow.registered_model,
    }
    reader = admin.database.model_dump() | {
        "user": own,
        "password": variables["STREAMFLOW_DATABASE__PASSWORD"],
    }
    engine(DatabaseSettings(**reader)).dispose()
    with prepare.autocommit(admin.database, "postgres") as connection:
        connection.exec_driver_sql(f'DROP ROLE "{own}"')


@pytest.fixture
def grace(login, monkeypatch):
    for name, value in login.items():
        monkeypatch.setenv(name, value)


def rows(settings, statement, **parameters):
    with transaction(settings.database) as connection:
        return connection.execute(sa.text(statement), parameters).all()


def test_the_page_runs_as_it_stands_with_the_login_that_it_makes(installed, grace, capsys):
    session = {}
    for block in blocks("python"):
        exec(compile(block, "docs/notebook.md", "exec"), session)
    assert len(session["columns"]) > 10
    assert 0.5 < session["auc"] <= 1
    assert list(session["seen"]["user_id"]) == list(session["likely"]["user_id"])
    assert session["seen"]["months_active"].notna().all()
    assert list(session["hours"].columns.date) == [JANUARY, FEBRUARY]
    assert capsys.readouterr().out.startswith("There is no drop as of 2023-12-31")


def test_a_training_set_has_the_rows_and_the_fingerprint_of_the_run(installed, grace):
    _, trained, _ = installed
    frame = streamflow.training_set("2024-01-31", known_at=trained.known_at)
    assert frame.attrs == {
        "as_of": "2024-01-31T00:00:00+00:00",
        "label_as_of": "2024-01-31T00:00:00+00:00",
        "known_at": trained.known_at.isoformat(),
        "fingerprint": trained.fingerprint,
        "incomplete": trained.incomplete,
    }
    assert (len(frame), int(frame["label"].sum())) == (trained.rows, trained.positives)
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert (kinds["user_id"], kinds["label"]) == ("string", "bool")
    assert (kinds["months_active"], kinds["plan_stream_tv"], kinds["monthly_fee"]) == (
        "int64",
        "float64",
        "float64",
    )
    assert json.dumps(frame.attrs)


def test_a_correction_is_seen_from_the_time_at_which_it_was_known(installed, grace):
    _, trained, _ = installed
    now = streamflow.training_set(datetime(2024, 1, 31, tzinfo=UTC))
    then = streamflow.training_set(JANUARY, trained.known_at.isoformat())
    assert now.attrs["fingerprint"] != then.attrs["fingerprint"] == trained.fingerprint
    assert (now["watch_hours_30d"] - then["watch_hours_30d"]).round(9).eq(1).all()
    # Features of February, by default.
    assert streamflow.training_set().attrs["as_of"] == "2024-02-29T00:00:00+00:00"


def test_no_schema_is_left_behind(installed, grace):
    streamflow.training_set("2024-01-31")
    admin = installed[0]
    assert rows(admin, "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'known_')") == []


def test_features_are_those_of_the_online_store_in_the_order_asked(installed, grace):
    found = rows(
        installed[0],
        "SELECT user_id, skips_7d, watch_hours_30d FROM online.usage_agg_30d_fv ORDER BY user_id DESC LIMIT 3",
    )
    asked = [found[0].user_id, NOBODY, found[1].user_id, found[2].user_id]
    frame = streamflow.features(pd.Series(asked))
    assert frame["user_id"].tolist() == asked
    assert frame.loc[frame["user_id"] == NOBODY].drop(columns="user_id").isna().all(axis=None)
    known = frame[frame["user_id"] != NOBODY]
    assert known[["user_id", "skips_7d", "watch_hours_30d"]].to_numpy().tolist() == [list(r) for r in found]
    kinds = {str(kind) for kind in frame.dtypes}
    assert kinds == {"string", "Int64", "Float64", "boolean"}
    assert streamflow.features(asked[0]).equals(frame.iloc[:1])
    empty = streamflow.features([])
    assert (len(empty), list(empty.columns)) == (0, list(frame.columns))
    assert {str(kind) for kind in empty.dtypes} == kinds


def test_scores_are_those_of_the_newest_scoring(installed, grace):
    admin, trained, scored = installed
    frame = streamflow.scores()
    stored = rows(
        admin,
        "SELECT entity, probability, prediction FROM streamflow.scores WHERE scoring_id = :n ORDER BY 1",
        n=scored.scoring_id,
    )
    assert frame[["user_id", "probability", "prediction"]].to_numpy().tolist() == [
        list(row) for row in stored
    ]
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "user_id": "string",
        "probability": "float64",
        "prediction": "bool",
        "version": "int64",
        "as_of": "datetime64[ns, UTC]",
    }
    assert set(frame["version"]) == {trained.version}
    assert set(frame["as_of"].dt.date) == {FEBRUARY}
    assert frame.attrs == {
        "model": admin.mlflow.registered_model,
        "scoring_id": scored.scoring_id,
        "known_at": scored.known_at.isoformat(),
        "fingerprint": trained.fingerprint,
    }


def test_history_has_every_row_with_its_two_times(installed, grace):
    admin, trained, _ = installed
    for table in definitions.load(admin.feast.repo).tables:
        frame = streamflow.history(table.name)
        stored = rows(admin, f"SELECT * FROM features.{table.snapshots} ORDER BY user_id, as_of, loaded_at")
        assert list(frame.columns) == list(stored[0]._fields)
        as_stored = [tuple(pd.Timestamp(v) if isinstance(v, date) else v for v in row) for row in stored]
        assert [tuple(None if v is pd.NA or v is pd.NaT else v for v in row) for row in
                frame.itertuples(index=False, name=None)] == as_stored  # fmt: skip
    users = streamflow.history()
    assert {name: str(kind) for name, kind in users.dtypes.items()} == {
        "user_id": "string",
        "signup_date": "datetime64[ns]",
        "user_gender": "string",
        "user_is_senior": "boolean",
        "has_family": "boolean",
        "has_dependents": "boolean",
        "as_of": "datetime64[ns, UTC]",
        "loaded_at": "datetime64[ns, UTC]",
        "drop_id": "string",
    }
    two = users["user_id"].unique()[:2].tolist()
    usage = streamflow.history("usage_agg_30d", user_ids=two)
    assert usage.groupby("user_id")["as_of"].count().to_dict() == dict.fromkeys(two, 3)
    before = streamflow.history("usage_agg_30d", two, known_at=trained.known_at)
    assert before.groupby("user_id")["as_of"].count().to_dict() == dict.fromkeys(two, 2)
    assert len(streamflow.history(user_ids="x' OR true --")) == 0 == len(streamflow.history(user_ids=[]))


def test_the_login_writes_nothing_and_reads_no_log_of_people(login, installed):
    admin = installed[0]
    own = login["STREAMFLOW_DATABASE__USER"]
    having = (
        "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = ANY(:schemas)"
        " AND relkind IN ('r', 'p', 'v') AND has_table_privilege(:role, c.oid, :privileges)"
    )
    of_role = {"schemas": list(SCHEMAS), "role": own}
    assert rows(admin, having, privileges="INSERT, UPDATE, DELETE, TRUNCATE", **of_role) == []
    found = {row.relname for row in rows(admin, having, privileges="SELECT", **of_role)}
    assert {"users", "users_snapshots", "usage_agg_30d_fv", "scores", "drops"} <= found
    assert not found & {"predictions", "quarantine", "erased", "promotions", "job_runs", "releases"}
    creates = "SELECT nspname FROM pg_namespace WHERE has_schema_privilege(:role, oid, 'CREATE')"
    assert rows(admin, creates, role=own) == []
    creates = "SELECT has_database_privilege(:role, current_database(), 'CREATE, TEMPORARY')"
    assert rows(admin, creates, role=own) == [(False,)]


def test_what_is_wrong_is_said(grace, monkeypatch):
    for call, error, words in (
        (lambda: streamflow.training_set("31 January"), UsageError, "'31 January' is not a date"),
        (lambda: streamflow.training_set(known_at="soon"), UsageError, "'soon' is not a valid time"),
        (lambda: streamflow.training_set(known_at="2999-01-01"), UsageError, "is in the future"),
        (lambda: streamflow.training_set(JANUARY, "2020-01-01"), NotFound, "There is no drop"),
        (lambda: streamflow.history("nothing"), UsageError, "There is no source table 'nothing'"),
    ):
        with pytest.raises(error, match=words):
            call()
    monkeypatch.setenv("STREAMFLOW_MLFLOW__REGISTERED_MODEL", "another")
    with pytest.raises(NotYet, match="no scores of the model 'another'"):
        streamflow.scores()
    monkeypatch.setenv("STREAMFLOW_DATABASE__PORT", "1")
    for call in (streamflow.history, streamflow.scores, streamflow.training_set):
        with pytest.raises(DependencyDown, match="does not answer"):
            call()
    with pytest.raises(DependencyDown, match="does not answer"):
        streamflow.features([NOBODY])
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = streamflow.nothing


def test_a_stack_of_this_machine_is_found_as_by_the_commands(login, tmp_path, monkeypatch):
    home.write_addresses(home.make(tmp_path / "home"), login)
    monkeypatch.setenv("STREAMFLOW_HOME", str(tmp_path / "home"))
    assert len(streamflow.scores()) > 250


def test_importing_streamflow_loads_nothing_else():
    """As predict and the command line do; what is slow is imported when it is first used."""
    loaded = "import sys, streamflow; print([m for m in sys.modules if m.startswith(('streamflow.', 'pandas', 'feast'))])"
    shown = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True)
    assert shown.stdout == "[]\n"
    assert {"Client", "features", "history", "scores", "training_set"} <= set(dir(streamflow))
    assert streamflow.Client is streamflow.client.PredictClient


def test_who_was_erased_comes_back_through_none_of_them(installed, grace, tmp_path):
    """The last test of this module: the person is gone afterwards."""
    admin, trained, _ = installed
    scored = streamflow.scores()["user_id"]
    person = next(
        user for user in streamflow.training_set(JANUARY, trained.known_at)["user_id"] if user in set(scored)
    )
    assert len(streamflow.history("usage_agg_30d", person)) == 3
    request = tmp_path / "request"
    request.write_text(json.dumps({"user_id": person, "why": "asked for it", "by": "tests"}))
    key = ErasureSettings(key="the key of the tests' list", request_file=request)
    erasing = as_role(admin, "erase").model_copy(update={"erasure": key, "home": tmp_path})
    erasing = erasing.model_copy(
        update={"backup": erasing.backup.model_copy(update={"folder": tmp_path / "backups"})}
    )
    assert run.run(erasing, "erase", catalog.recipe("erase")) == 0
    for frame in (
        streamflow.training_set(JANUARY, trained.known_at),
        streamflow.training_set(),
        streamflow.scores(),
        *(streamflow.history(table.name) for table in definitions.load(admin.feast.repo).tables),
        *(
            streamflow.history(table.name, known_at=trained.known_at)
            for table in definitions.load(admin.feast.repo).tables
        ),
    ):
        assert len(frame) > 200
        assert person not in set(frame["user_id"])
    assert streamflow.features(person).drop(columns="user_id").isna().all(axis=None)
