"""Restore a backup into another install, which keeps its own owners, privileges and MLflow server."""

import hashlib
import json
import shutil

import hypothesis
import prepared
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from streamflow.backup import dump as dumps
from streamflow.backup.backup import backup
from streamflow.backup.restore import restore
from streamflow.drops import ledger
from streamflow.errors import NotFound, Refused, StreamFlowError, UsageError
from streamflow.jobs import catalog, run
from streamflow.jobs.audit import audit
from streamflow.mlflow_api.transport import registry
from streamflow.mlflow_server import accounts
from streamflow.model_version import tags
from streamflow.postgres import clock
from streamflow.postgres.engine import session, transaction
from streamflow.registrar.look import look
from streamflow.registry import moves, trail, transitions
from streamflow.registry.promote import demote, promote
from streamflow.registry.served import served_release
from streamflow.schema import prepare, roles
from streamflow.settings import BackupSettings, MlflowSettings

pytestmark = [pytest.mark.postgres, pytest.mark.stack]
PASSWORDS = {name: f"secret-of-{name}" for name in roles.LOGINS}


@pytest.fixture(scope="module")
def source(module_settings, mlflow_server, tmp_path_factory):
    """An install with a drop, a promoted version and scores."""
    from streamflow.apply import apply
    from streamflow.challenger import train
    from streamflow.jobs.ingest import ingest_folder
    from streamflow.jobs.materialize import materialize
    from streamflow.jobs.score import score_as_of
    from streamflow.local.simulate import Simulation, simulate

    folder = tmp_path_factory.mktemp("backed_up")
    mlflow = module_settings.mlflow.model_dump() | {"tracking_uri": mlflow_server}
    made = module_settings.model_copy(
        update={
            "mlflow": MlflowSettings(**mlflow),
            "backup": BackupSettings(folder=folder / "backups"),
        }
    )
    apply(made)
    (drop,) = simulate(made.feast.repo, folder / "drops", Simulation(users=300, months=1))
    ingest_folder(made, drop.folder, drop.as_of)
    materialize(made)
    version = train(made, drop.as_of, estimator="logistic_regression").version
    for alias in ("staging", "production"):
        promote(made.backends, version, alias, why="a test", by="tests")
    score_as_of(made)
    prepare.stamp(made.database, made.feast.repo)
    return made


@pytest.fixture(scope="module")
def backed_up(source):
    return backup(source.database, source.mlflow, source.backup)


@pytest.fixture
def target(source, start_mlflow, tmp_path):
    """An empty install with a role for each component and its own running MLflow server."""
    made = prepared.named(source)
    try:
        prepare.prepare(made.database, PASSWORDS)
        prepare.stamp(made.database, made.feast.repo)
        there = prepared.as_role(made, PASSWORDS, "mlflow", made.database.mlflow_name)
        with start_mlflow(there, tmp_path) as address:
            mlflow = source.mlflow.model_dump() | {"tracking_uri": address}
            yield made.model_copy(update={"mlflow": MlflowSettings(**mlflow)})
    finally:
        prepared.remove(made, PASSWORDS)


def as_role(settings, role):
    return prepared.as_role(settings, PASSWORDS, role)


LOGINS = "streamflow.job_logins"
"""The table that differs after a restore: it names the roles of its own server."""


def rows(settings, name):
    """Digest of the sorted rows of each table of a database, but for LOGINS."""
    found = {}
    with session(settings.database, name) as connection:
        connection.exec_driver_sql("SET TimeZone = 'UTC'")
        tables = connection.execute(
            sa.text(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            )
        ).scalars()
        for table in sorted(set(tables) - {LOGINS}):
            held = connection.exec_driver_sql(f"SELECT t::text FROM {table} t ORDER BY 1").scalars()
            found[table] = hashlib.sha256("\n".join(held).encode()).hexdigest()
    return found


def contents(dump):
    """Rows and digest of each table of a dump, but for LOGINS."""
    return {
        key: {name: table for name, table in item.tables.items() if name != LOGINS}
        for key, item in dump.databases.items()
    }


def release_of(settings):
    return served_release(settings.database, settings.mlflow.registered_model)


def both(settings):
    return settings.database.name, settings.database.mlflow_name


def test_a_restore_sets_the_passwords_of_mlflows_accounts_of_this_install(backed_up, target, tmp_path):
    folder = tmp_path / "accounts"
    folder.mkdir()
    for name in ("admin", *accounts.ROLES):
        (folder / f"{name}-password").write_text(f"the {name}'s password here")
    mlflow = target.mlflow.model_copy(update={"accounts_folder": folder})
    restore(target.model_copy(update={"mlflow": mlflow}).backends, target.backup.folder, backed_up.folder)
    # MLflow's server logs in with its own role, and finds every account.
    there = as_role(target, "mlflow").database.model_copy(update={"name": target.database.mlflow_name})
    with transaction(there) as connection:
        users = connection.exec_driver_sql("SELECT username FROM users ORDER BY username").scalars().all()
        connection.exec_driver_sql("UPDATE users SET is_admin = is_admin")
    assert users == sorted(["admin", *(accounts.account_of(role) for role in accounts.ROLES)])


def test_everything_is_restored_with_the_owners_and_rights_of_the_new_server(source, backed_up, target):
    before = [rows(source, name) for name in both(source)]
    served = release_of(source)
    with transaction(source.database) as connection:
        newest = clock.read(connection).newest
    restored = restore(target.backends, target.backup.folder, backed_up.folder)
    after = [rows(target, name) for name in both(target)]
    assert len(before[0]) > 20
    # The restored trail has one row more.
    assert after[0].pop("streamflow.promotions") != before[0].pop("streamflow.promotions")
    # MLflow names that row as the newest.
    assert after[1].pop("public.registered_model_tags") != before[1].pop("public.registered_model_tags")
    assert after == before
    assert restored.artifacts > 10
    assert restored.next == ("Online tables and scores are restored too: nothing needs to be materialized.",)

    # A known-at is later than the drops, and no row has it: it is restored with the clock.
    with transaction(target.database) as connection:
        assert clock.read(connection).newest == newest > max(d.loaded_at for d in ledger.entries(connection))

    # The version gives the same probabilities, although MLflow's server was not restarted.
    again = release_of(target)
    assert again.pointer == served.pointer
    golden = json.loads(golden_of(target))
    assert again.probabilities(golden["rows"]).tolist() == served.probabilities(golden["rows"]).tolist()

    # Each role can do the work of its component, and nothing else.
    prepare.wait(as_role(target, "feast_serve").database, target.feast.repo, "applied", 0)
    for job in ("materialize", "monitor", "score"):
        assert run.run(as_role(target, job), job, catalog.recipe(job)) == 0, job
    with transaction(as_role(target, "predict").database) as connection:
        connection.exec_driver_sql("SELECT streamflow.keep_prediction_log(30)")
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            connection.exec_driver_sql("SELECT * FROM source.users")
    with transaction(as_role(target, "feast_apply").database) as connection:
        connection.exec_driver_sql("ALTER TABLE source.users ADD COLUMN later bigint")
    # The audit trail continues after the restored rows.
    with transaction(as_role(target, "train").database) as connection:
        connection.exec_driver_sql(
            "SELECT streamflow.append_promotion('me', 'm', 'a', NULL, 1, 'promote', 'x', '{}', '{}', '{}')"
        )


def golden_of(settings):
    from streamflow.mlflow_api.transport import registry
    from streamflow.registry import versions

    with registry(settings.mlflow) as client:
        return client.file(versions.get(settings.mlflow, 1).source, "golden.json", 2**20)


def test_rows_that_a_restore_loses_are_named_in_the_trail_and_the_chain_holds(
    source, backed_up, target, tmp_path
):
    """Back up, promote, restore: six rows and one that names the seventh as lost."""
    restore(target.backends, target.backup.folder, backed_up.folder)
    demote(target.backends, "production", why="a test", by="tests")
    for alias in ("staging", "production"):
        promote(target.backends, 1, alias, why="a test", by="tests")
    kept = backup(target.database, target.mlflow, BackupSettings(folder=tmp_path / "backups"))
    six = history(target)
    demote(target.backends, "production", why="a mistake", by="eve")
    seventh = history(target)[-1]
    assert (len(six), seventh.promotion_id) == (6, 7)

    done = restore(target.backends, tmp_path / "backups", replace=True, by="ada")
    *before, row = history(target)
    assert before == six
    assert (done.row, done.lost) == (row.promotion_id, 1) == (7, 1)
    assert (row.action, row.alias, row.from_version, row.to_version) == ("restore", "production", 1, 1)
    assert (row.moved_by, row.login) == ("ada", target.database.user)
    assert row.facts["backup"] == kept.folder.name
    assert row.facts["made_at"] == dumps.read(kept.folder).made_at
    assert (
        row.facts["manifest_sha256"]
        == hashlib.sha256((kept.folder / dumps.MANIFEST).read_bytes()).hexdigest()
    )
    head = f"7:{seventh.hash}"
    assert row.facts["former_head"] == row.facts["anchor"] == head
    (lost,) = row.facts["lost"]
    assert (lost["row"], lost["hash"], lost["moved_by"]) == (7, seventh.hash, "eve")
    assert (lost["action"], lost["to_version"]) == ("demote", None)
    assert f"row 7 was lost, the newest was {head}" in row.why

    # Neither "tampered with" nor silent, whether MLflow still names the lost row or the new one.
    model = target.mlflow.registered_model
    with registry(target.mlflow) as client:
        for anchor in (f"7:{row.hash}", head, f"6:{six[-1].hash}"):
            client.set_model_tag(model, tags.AUDIT, anchor)
            found = audit(target)
            assert found.chain_ok
            assert [head in loss for loss in found.losses] == [True]
        client.set_model_tag(model, tags.AUDIT, f"7:{'0' * 64}")
        assert not audit(target).chain_ok
        client.set_model_tag(model, tags.AUDIT, head)
    # Nothing is asked for in MLflow, whose aliases are those of the backup; the anchor follows.
    assert look(target.backends, target.promotion) == []
    assert moves.anchor(target.mlflow) == f"7:{row.hash}"
    assert trail.targets(target.database, model)["production"] == 1
    assert transitions.pause(history(target)) == transitions.pause(six)


def history(settings):
    return trail.history(settings.database, settings.mlflow.registered_model)


def test_a_database_with_drops_is_replaced_only_with_replace(source, backed_up, target):
    restore(target.backends, target.backup.folder, backed_up.folder)
    with transaction(target.database) as connection:
        connection.exec_driver_sql("CREATE TABLE source.newer AS SELECT 1 AS n")
    for action in (
        lambda: restore(target.backends, target.backup.folder, backed_up.folder),
        lambda: catalog.recipe("restore")(target),
    ):
        with pytest.raises(Refused, match="has 1 drops") as refused:
            action()
        assert "--replace" in str(refused.value)
    assert "source.newer" in rows(target, target.database.name)
    restore(target.backends, target.backup.folder, backed_up.folder, replace=True)
    assert "source.newer" not in rows(target, target.database.name)
    # Temporary and replaced databases are dropped.
    with prepare.autocommit(target.database, "postgres") as connection:
        beside = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_database WHERE datname ~ '_(restoring|replaced)$'"
        ).scalar_one()
    assert beside == 0


def test_the_job_restores_the_newest_backup_and_records_its_outcome_in_the_restored_database(
    source, backed_up, target
):
    admin = target.model_copy(update={"backup": source.backup})
    assert run.run(admin, "restore", catalog.recipe("restore")) == 0
    with transaction(target.database) as connection:
        found = connection.exec_driver_sql(
            "SELECT outcome, facts->>'folder' FROM streamflow.job_runs WHERE job = 'restore'"
        ).one()
    assert tuple(found) == ("done", str(backed_up.folder))


@pytest.fixture
def copy(backed_up, tmp_path):
    return shutil.copytree(backed_up.folder, tmp_path / "copy")


@pytest.fixture
def untouched(source):
    """The install that was backed up; fails if the test changes its database."""
    before = rows(source, source.database.name)
    yield source
    assert rows(source, source.database.name) == before


def test_a_flipped_byte_in_any_file_refuses_the_whole_backup_and_names_the_file(copy, backed_up, untouched):
    own = {dumps.MANIFEST, dumps.DIGEST}
    names = sorted(path.name for path in copy.iterdir())
    assert set(names) == {*backed_up.files, *own}
    assert len(names) == 5

    @given(st.sampled_from(names), st.floats(0, 1, exclude_max=True), st.integers(0, 7))
    @hypothesis.settings(max_examples=60)
    def flip(name, place, bit):
        whole = (copy / name).read_bytes()
        content = bytearray(whole)
        content[int(place * len(content))] ^= 1 << bit
        (copy / name).write_bytes(content)
        try:
            with pytest.raises(Refused, match="Nothing was restored") as refused:
                restore(untouched.backends, untouched.backup.folder, copy, replace=True)
        finally:
            (copy / name).write_bytes(whole)
        (problem,) = refused.value.details
        assert name in problem
        assert "has changed" in problem

    flip()
    for name in names:
        (copy / name).rename(copy / "away")
        with pytest.raises((Refused, NotFound), match=f"{name} is missing|has no {name}"):
            restore(untouched.backends, untouched.backup.folder, copy, replace=True)
        (copy / "away").rename(copy / name)
    # The copy is whole again.
    assert dumps.read(copy)


def test_a_manifest_with_other_digests_leaves_the_present_databases(copy, untouched):
    """The row counts differ, as if pg_restore had lost rows."""
    manifest = json.loads((copy / dumps.MANIFEST).read_text())
    users = manifest["databases"]["platform"]["tables"]["source.users"]
    users["rows"] += 1
    content = json.dumps(manifest).encode()
    (copy / dumps.MANIFEST).write_bytes(content)
    (copy / dumps.DIGEST).write_text(f"{hashlib.sha256(content).hexdigest()}  {dumps.MANIFEST}\n")
    with pytest.raises(StreamFlowError, match="databases are unchanged") as failed:
        restore(untouched.backends, untouched.backup.folder, copy, replace=True)
    assert failed.value.details == (f"source.users has {users['rows'] - 1} rows, not {users['rows']}",)
    with prepare.autocommit(untouched.database, "postgres") as connection:
        beside = "SELECT count(*) FROM pg_database WHERE datname ~ '_(restoring|replaced)$'"
        assert connection.exec_driver_sql(beside).scalar_one() == 0


def test_a_truncated_manifest_is_refused(copy, untouched):
    whole = (copy / dumps.MANIFEST).read_text()
    (copy / dumps.MANIFEST).write_text(whole[: len(whole) // 2])
    with pytest.raises(Refused, match="corrupt or was modified"):
        restore(untouched.backends, untouched.backup.folder, copy, replace=True)


def test_a_login_that_may_not_create_databases_is_a_usage_error(source, backed_up, target):
    with pytest.raises(UsageError, match="may not create databases"):
        restore(as_role(target, "owner").backends, target.backup.folder, backed_up.folder)


def test_without_a_backup_there_is_nothing_to_restore(source, tmp_path):
    nothing = source.model_copy(update={"backup": BackupSettings(folder=tmp_path)})
    with pytest.raises(NotFound, match="no backup"):
        restore(nothing.backends, nothing.backup.folder)
    with pytest.raises(NotFound, match="is not a backup"):
        restore(nothing.backends, nothing.backup.folder, tmp_path)


def test_without_mlflow_no_backup_is_left_not_even_half_of_one(source, tmp_path):
    away = MlflowSettings(**source.mlflow.model_dump() | {"tracking_uri": "http://127.0.0.1:9"})
    folder = BackupSettings(folder=tmp_path / "backups")
    with pytest.raises(StreamFlowError, match="does not answer"):
        backup(
            source.database,
            away,
            folder,
        )
    assert list(folder.folder.iterdir()) == []


def test_backing_up_under_its_own_role_reads_both_databases_and_the_artifacts(target, source, backed_up):
    restore(target.backends, target.backup.folder, backed_up.folder)
    again = backup(as_role(target, "backup").database, target.mlflow, source.backup)
    assert (again.versions, again.deleted, again.unchecked) == ((1,), (), ())
    first, second = dumps.read(backed_up.folder), dumps.read(again.folder)
    for key, tables in contents(second).items():
        differing = {name for name in tables if tables[name] != contents(first)[key][name]}
        assert differing <= {"streamflow.promotions", "public.registered_model_tags"}
    assert second.artifacts.sha256 == first.artifacts.sha256
    shutil.rmtree(again.folder)
