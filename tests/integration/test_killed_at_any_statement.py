"""SIGKILL of a job at any of its statements: nothing half is seen, and the repetition ends as an undisturbed run.

A relay counts the statements and kills the process at one of them: just before PostgreSQL gets it, or just after. The
points are spread evenly over all statements; in `.ci/run` two or three a job, in `make faults` twenty.
"""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from killed_jobs import Job, administrator, alone, connected, contents, copy, run, spread, streamflow
from statement_relay import relaying

from streamflow.backup.backup import backup
from streamflow.jobs.ingest import ingest_folder
from streamflow.local.simulate import Simulation, simulate
from streamflow.mlflow_api.transport import registry
from streamflow.model_version import tags
from streamflow.postgres.engine import engine
from streamflow.registry import trail
from streamflow.registry.promote import promote
from streamflow.settings import BackupSettings

pytestmark = [pytest.mark.postgres, pytest.mark.stack, pytest.mark.timeout(1500)]

ALL = os.environ.get("VERDICTS") is not None
POINTS = 20 if ALL else 3
# The statements of a swap of databases are killed one by one in another test.
POINTS_OF_OTHERS = 20 if ALL else 1


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, module_simulated):
    """Three months, all but the last materialized, a version in production; and a fourth month to load."""
    settings = module_simulated
    for alias in ("staging", "production"):
        promote(settings.backends, 1, alias, why="a test", by="tests")
    drops = simulate(settings.feast.repo, tmp_path_factory.mktemp("drops"), Simulation(users=500, months=4))
    ingest_folder(settings, drops[2].folder, drops[2].as_of)
    return settings, drops


def job_of(kind, drops):
    return {
        "ingest": Job(streamflow("ingest", str(drops[3].folder)), ("source", "streamflow")),
        "materialize": Job(streamflow("materialize"), ("online",)),
        "score": Job(streamflow("jobs", "exec", "score"), ("streamflow",)),
        "promote": Job(
            streamflow(
                *("models", "promote", "2", "--to", "staging"),
                *("--despite-gate", "--why", "a test", "--by", "ada"),
            ),
            ("streamflow",),
        ),
    }[kind]


@pytest.mark.fault("F13", "F16")
@pytest.mark.parametrize("kind", ["ingest", "materialize", "score", "promote"])
def test_a_job_killed_at_any_statement_ends_as_if_undisturbed(prepared, postgres_server, kind, verdict):
    settings, drops = prepared
    job = job_of(kind, drops)
    name = f"killed_{kind}"
    pool = engine(settings.database)
    copy(postgres_server, settings.database.name, name, pool)
    before = contents(postgres_server, name, job)
    with relaying(postgres_server.port) as relay:
        code, output = run(settings, name, relay.port, job)
    assert code == 0, output
    after, statements = contents(postgres_server, name, job), relay.seen
    assert after != before
    assert statements > 3
    points = spread(statements, POINTS)
    partly = set()
    for number, point in enumerate(points):
        copy(postgres_server, settings.database.name, name, pool)
        with relaying(postgres_server.port, point, before=number % 2 == 0) as relay:
            code, output = run(settings, name, relay.port, job, relay)
        assert (code, relay.killed) == (-signal.SIGKILL, True), (point, output)
        alone(postgres_server, name)
        seen = contents(postgres_server, name, job)
        if seen not in (before, after):
            partly.add(point)
        code, output = run(settings, name, postgres_server.port, job)
        # Killed after its last statement, a promotion is done, which the second one says.
        assert code == 0 or (kind == "promote" and "already" in output), (point, output)
        assert contents(postgres_server, name, job) == after, point
    administrator(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")
    verdict(**{f"{kind}_statements": statements, f"{kind}_kills": len(points)})
    # Each of these writes in one transaction; a promotion also keeps what the check and the files of the release are.
    assert kind == "promote" or not partly


@pytest.fixture
def mlflow_before(prepared):
    """Puts MLflow's aliases, stages and the tag with the ledger's newest row back to what they were."""
    settings, _ = prepared
    mlflow, model = settings.mlflow, settings.mlflow.registered_model
    former = trail.targets(settings.database, model)
    newest = max(trail.history(settings.database, model), key=lambda row: row.promotion_id)
    engine(settings.database).dispose()

    def put_back():
        with registry(mlflow) as client:
            for alias in ("staging", "production"):
                client.delete_alias(model, alias)
                if former[alias] is not None:
                    client.set_alias(model, alias, former[alias])
            client.set_stage(model, 1, "Production")
            client.set_stage(model, 2, "None")
            client.set_model_tag(model, tags.AUDIT, f"{newest.promotion_id}:{newest.hash}")

    yield put_back
    put_back()


LOOK_ONCE = """
from streamflow import settings
from streamflow.registrar.serve import Registrar

made = settings.load()
assert Registrar(made.backends, made.promotion).look_once()
"""


def shown(settings):
    """What MLflow shows of both versions."""
    model = settings.mlflow.registered_model
    with registry(settings.mlflow) as client:
        aliases = {alias: client.alias(model, alias) for alias in ("staging", "production")}
        return aliases, {number: client.version(model, number)["current_stage"] for number in (1, 2)}


def newest_signed(server, name):
    with connected(server, name) as connection:
        return connection.execute("SELECT max(promotion_id) FROM streamflow.signed_heads").fetchone()[0]


@pytest.mark.fault("F39")
def test_a_registrar_killed_at_any_statement_goes_on_with_its_next_look(
    prepared, postgres_server, mlflow_before, tmp_path, verdict
):
    settings, _ = prepared
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(key)
    variables = {
        "STREAMFLOW_PROMOTION__OUTSIDE_MOVES": "accept",
        "STREAMFLOW_PROMOTION__SIGNING_KEY_FILE": str(tmp_path / "key.pem"),
    }
    # Killed between two moves, its next look signs the first one too.
    job = Job(("-c", LOOK_ONCE), ("streamflow",), variables=variables)
    job = replace(job, ignored=(*job.ignored, "signed_heads"))
    name, pool = "killed_registrar", engine(settings.database)

    def asked():
        mlflow_before()
        copy(postgres_server, settings.database.name, name, pool)
        with registry(settings.mlflow) as client:
            client.set_alias(settings.mlflow.registered_model, "production", 2)

    asked()
    with relaying(postgres_server.port) as relay:
        code, output = run(settings, name, relay.port, job)
    assert code == 0, output
    after, told, statements = contents(postgres_server, name, job), shown(settings), relay.seen
    assert told == ({"staging": None, "production": 2}, {1: "Archived", 2: "Production"})
    database = settings.database.model_copy(update={"name": name})
    moves = [(row.alias, row.to_version) for row in trail.history(database, settings.mlflow.registered_model)]
    points = spread(statements, POINTS_OF_OTHERS)
    for number, point in enumerate(points):
        engine(database).dispose()
        asked()
        with relaying(postgres_server.port, point, before=number % 2 == 0) as relay:
            code, output = run(settings, name, relay.port, job, relay)
        assert (code, relay.killed) == (-signal.SIGKILL, True), (point, output)
        alone(postgres_server, name)
        code, output = run(settings, name, postgres_server.port, job)
        assert code == 0, (point, output)
        assert contents(postgres_server, name, job) == after, point
        assert shown(settings) == told, point
        rows = trail.history(database, settings.mlflow.registered_model)
        assert [(row.alias, row.to_version) for row in rows] == moves, point
        assert newest_signed(postgres_server, name) == max(row.promotion_id for row in rows), point
    engine(database).dispose()
    administrator(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")
    verdict(registrar_statements=statements, registrar_kills=len(points))


def databases(server, beginning):
    with connected(server, "postgres") as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (beginning,)
        )
        return {name for (name,) in rows}


@pytest.mark.fault("F39")
def test_a_restore_killed_at_any_statement_leaves_the_old_databases_or_the_new(
    prepared, postgres_server, tmp_path, verdict
):
    settings, drops = prepared
    name, other, pool = "killed_restore", "killed_restore_mlflow", engine(settings.database)
    database = settings.database.model_copy(update={"name": name, "mlflow_name": other})
    folder = BackupSettings(folder=tmp_path / "backups", artifacts=False)
    copy(postgres_server, settings.database.name, name, pool)
    backup(database, settings.mlflow, folder)
    engine(database).dispose()
    variables = {"STREAMFLOW_BACKUP__FOLDER": str(folder.folder), "STREAMFLOW_DATABASE__MLFLOW_NAME": other}
    job = Job(
        streamflow("restore", "--replace"),
        ("source", "streamflow", "online"),
        ignored=(),
        variables=variables,
    )
    # A month after the backup, which a restore takes back.
    former = "killed_restore_former"
    copy(postgres_server, name, former, pool)
    later = settings.model_copy(update={"database": database.model_copy(update={"name": former})})
    ingest_folder(later, drops[3].folder, drops[3].as_of)
    engine(later.database).dispose()
    before = contents(postgres_server, former, job)
    copy(postgres_server, former, name, pool)
    with relaying(postgres_server.port) as relay:
        code, output = run(settings, name, relay.port, job)
    assert code == 0, output
    after, statements = contents(postgres_server, name, job), relay.seen
    assert after != before
    kills, points = 0, spread(statements, POINTS_OF_OTHERS)
    for number, point in enumerate(points):
        copy(postgres_server, former, name, pool)
        with relaying(postgres_server.port, point, before=number % 2 == 0) as relay:
            code, output = run(settings, name, relay.port, job, relay)
        # Sessions are ended again and again until the databases are swapped, so the number of statements varies.
        assert code == (-signal.SIGKILL if relay.killed else 0), (point, output)
        kills += relay.killed
        left = contents(postgres_server, name, job)
        assert left in (before, after), point
        code, output = run(settings, name, postgres_server.port, job)
        assert code == 0, (point, output)
        again, wanted = contents(postgres_server, name, job), dict(after)
        if left == after:
            # It was done: what the repetition replaces, and names in its row of the trail, is the first one's outcome.
            del again["streamflow.promotions"], wanted["streamflow.promotions"]
        assert again == wanted, point
        assert databases(postgres_server, name) == {name, former}, point
    for each in (name, former):
        administrator(postgres_server, f"DROP DATABASE {each} WITH (FORCE)")
    verdict(restore_statements=statements, restore_kills=kills)
    assert kills >= len(points) - 1
