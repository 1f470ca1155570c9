"""The role of each component has the privileges that it needs and no others. On a real PostgreSQL."""

import prepared
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from streamflow.errors import DependencyDown, UsageError
from streamflow.postgres.engine import engine, transaction
from streamflow.postgres.names import quote
from streamflow.schema import functions, prepare, roles

PASSWORDS = {name: f"secret-of-{name}" for name in roles.LOGINS}
READ, WRITE = "r", "w"

# Privileges of each role on each kind of table: r for SELECT, w for INSERT.
MATRIX = {
    #               drops promotions promotion_requests job_runs job_starts source online feast monitoring
    "owner":        ("rw", "rw", "rw", "rw", "rw", "r", "r", "", "rw"),
    "feast_apply":  ("r", "", "", "rw", "rw", "rw", "rw", "rw", ""),
    "feast_serve":  ("", "", "", "", "", "", "r", "r", ""),
    "predict":      ("", "", "", "", "", "", "r", "", ""),
    "ingest":       ("rw", "", "", "rw", "rw", "rw", "", "", ""),
    "materialize":  ("r", "", "", "rw", "rw", "r", "rw", "r", ""),
    "train":        ("r", "r", "rw", "rw", "rw", "r", "", "r", "r"),
    "registrar":    ("r", "r", "rw", "", "", "r", "", "r", ""),
    "promote":      ("r", "r", "", "", "", "r", "", "r", ""),
    "read":         ("r", "", "", "", "", "r", "r", "r", "r"),
    "score":        ("r", "r", "", "rw", "rw", "r", "r", "r", ""),
    "monitor":      ("r", "r", "r", "rw", "rw", "r", "r", "r", "rw"),
    "exporter":     ("r", "r", "r", "r", "r", "r", "r", "", "r"),
    "erase":        ("", "", "", "rw", "rw", "", "", "", ""),
    "backup":       ("r", "r", "r", "rw", "rw", "r", "r", "r", "r"),
}  # fmt: skip
TABLES = (
    "streamflow.drops",
    "streamflow.promotions",
    "streamflow.promotion_requests",
    "streamflow.job_runs",
    "streamflow.job_starts",
    "source.things",
    "online.things_fv",
    "feast.feature_views",
    "monitoring.drift",
)


_PREPARED = {}
WAYS = {"by the migration Job": prepared.by_the_job, "by hand": prepared.by_hand}


@pytest.fixture(scope="module", autouse=True)
def _clean_up():
    yield
    while _PREPARED:
        prepared.remove(_PREPARED.popitem()[1], PASSWORDS)


@pytest.fixture
def server(settings):
    """A database with all roles and the tables that `features apply` creates, prepared once per module."""
    return made("by the migration Job", settings)


@pytest.fixture(params=WAYS)
def either(request, settings):
    """The same database, and one whose roles an administrator created by hand."""
    return made(request.param, settings)


def made(way, settings):
    if way not in _PREPARED:
        _PREPARED[way] = prepared.named(settings)
        WAYS[way](_PREPARED[way], PASSWORDS, tables)
    return _PREPARED[way]


def tables(settings):
    with transaction(settings.database) as connection:
        for table in ("source.things", "online.things_fv", "feast.feature_views"):
            connection.exec_driver_sql(f"CREATE TABLE {table} (user_id text PRIMARY KEY)")
        connection.exec_driver_sql("CREATE VIEW features.things_snapshots AS SELECT * FROM source.things")


def as_role(settings, role, name=None):
    return prepared.as_role(settings, PASSWORDS, role, name)


def allowed(settings, role, table, privilege):
    with transaction(settings.database) as connection:
        return connection.execute(
            sa.text(
                "SELECT has_table_privilege(:role, :table, :privilege)"
                " AND has_schema_privilege(:role, :schema, 'USAGE')"
            ),
            {
                "role": settings.database.role_prefix + role,
                "table": table,
                "schema": table.split(".")[0],
                "privilege": privilege,
            },
        ).scalar_one()


def refused(settings, role, statement):
    with (
        pytest.raises(sa.exc.DBAPIError, match=r"permission denied|must be owner|append-only"),
        transaction(as_role(settings, role).database) as connection,
    ):
        connection.exec_driver_sql(statement)


@pytest.mark.postgres
@pytest.mark.parametrize("role", MATRIX)
def test_each_role_may_do_exactly_what_the_matrix_says(either, role):
    found = tuple(
        (READ if allowed(either, role, table, "SELECT") else "")
        + (WRITE if allowed(either, role, table, "INSERT") else "")
        for table in TABLES
    )
    assert dict(zip(TABLES, found, strict=True)) == dict(zip(TABLES, MATRIX[role], strict=True))


@pytest.mark.postgres
def test_every_role_is_in_the_matrix():
    assert set(MATRIX) | {"mlflow"} == set(roles.ROLES)


@pytest.mark.postgres
@pytest.mark.parametrize("role", sorted(set(roles.ROLES) - {"owner"}))
def test_no_role_but_the_owner_changes_the_platforms_tables(either, role):
    name = either.database.role_prefix + role
    with transaction(either.database) as connection:
        held = connection.execute(
            sa.text(
                "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
                " WHERE nspname = 'streamflow' AND relkind = 'r'"
                " AND has_table_privilege(:role, c.oid, 'UPDATE, DELETE, TRUNCATE')"
            ),
            {"role": name},
        ).scalar_one()
    assert held == 0


@pytest.mark.postgres
def test_a_person_who_promotes_has_a_login_of_their_own_which_the_ledger_names(server):
    group, person = server.database.role_prefix + "promote", f"{server.database.role_prefix}ada"
    with transaction(as_role(server, "owner").database) as connection:
        owner = connection.execute(sa.text("SELECT session_user")).scalar_one()
    with prepare.autocommit(server.database, "postgres") as connection:
        connection.exec_driver_sql(
            f"CREATE ROLE {quote(person)} LOGIN PASSWORD 'hers' IN ROLE {quote(group)}"
        )
    try:
        login = server.database.model_copy(update={"user": person, "password": SecretStr("hers")})
        with transaction(login) as connection:
            found = connection.execute(
                sa.text(
                    "SELECT login FROM streamflow.append_promotion"
                    "('Ada', 'm', 'staging', NULL, 1, 'promote', 'a test', '{}', '{}', '{}')"
                )
            ).scalar_one()
        assert found == person != owner
        for statement in (
            "INSERT INTO streamflow.trained_models (model, manifest_sha256, run_id) VALUES ('m', repeat('0', 64), '')",
            "INSERT INTO source.things DEFAULT VALUES",
            "UPDATE streamflow.promotions SET why = 'another'",
            "SELECT streamflow.append_promotion('Ada', 'm', 'production', NULL, 9, 'promote', 'hers', '{}',"
            " jsonb_build_object('manifest_sha256', 'no'), '{}')",
        ):
            with (
                pytest.raises(sa.exc.DBAPIError, match=r"permission denied|not trained here"),
                transaction(login) as connection,
            ):
                connection.exec_driver_sql(statement)
    finally:
        engine(login).dispose()
        with prepare.autocommit(server.database, "postgres") as connection:
            connection.exec_driver_sql(f"DROP ROLE {quote(person)}")


@pytest.mark.postgres
@pytest.mark.parametrize("role", sorted(set(roles.ROLES) - {"owner", "mlflow"}))
def test_each_function_can_be_called_by_the_named_roles_alone(either, role):
    with transaction(either.database) as connection:
        may = connection.execute(
            sa.text(
                "SELECT proname FROM pg_proc WHERE pronamespace = 'streamflow'::regnamespace"
                " AND has_function_privilege(:role, oid, 'EXECUTE')"
            ),
            {"role": either.database.role_prefix + role},
        ).scalars()
        # What materialize may call, feast_apply may, which is a member of it.
        names = {role, *roles.ROLES[role].acts_as, *functions.EVERYBODY}
        assert set(may) == {name for name, callers in functions.CALLERS.items() if names & set(callers)}


@pytest.mark.postgres
def test_no_function_that_runs_as_the_owner_becomes_a_trigger_of_a_role(either):
    """A trigger of a table whose owner chose its types runs casts of that owner's, as the owner of the function."""
    with transaction(either.database) as connection:
        found = connection.exec_driver_sql(
            "SELECT p.proname FROM pg_proc p, unnest(ARRAY["
            + ", ".join(
                f"'{either.database.role_prefix}{role}'" for role in sorted(set(roles.ROLES) - {"owner"})
            )
            + "]) AS role WHERE pronamespace = 'streamflow'::regnamespace AND prosecdef"
            " AND prorettype = 'trigger'::regtype AND has_function_privilege(role, p.oid, 'EXECUTE')"
        ).all()
    assert found == []


@pytest.mark.postgres
@pytest.mark.parametrize("role", sorted(set(roles.ROLES) - {"owner"}))
def test_no_role_may_create_schemas(either, role):
    name = either.database.role_prefix + role
    with transaction(either.database) as connection:
        found = connection.execute(
            sa.text("SELECT has_database_privilege(:role, current_database(), 'CREATE')"), {"role": name}
        ).scalar_one()
    assert not found


@pytest.mark.postgres
@pytest.mark.parametrize("way", WAYS)
def test_the_right_to_create_schemas_that_an_earlier_version_gave_is_taken_back(settings, way):
    server = made(way, settings)
    train = server.database.role_prefix + "train"
    with prepare.autocommit(server.database, "postgres") as connection:
        connection.exec_driver_sql(
            f"GRANT CREATE ON DATABASE {quote(server.database.name)} TO {quote(train)}"
        )
    if way == "by hand":
        prepare.grant_own(as_role(server, "owner").database)
    else:
        prepare.grant(server.database)
    refused(server, "train", "CREATE SCHEMA mine")


@pytest.mark.postgres
def test_every_function_has_a_search_path_of_its_own(server):
    with transaction(server.database) as connection:
        found = connection.exec_driver_sql(
            "SELECT p.oid::regprocedure::text, p.proconfig FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
        ).all()
    assert len(found) > 10
    assert [name for name, settings in found if settings != ["search_path=pg_catalog, pg_temp"]] == []


@pytest.mark.postgres
def test_history_is_append_only_even_for_its_owner(server):
    refused(server, "owner", "TRUNCATE streamflow.promotions")


@pytest.mark.postgres
def test_materialize_builds_an_online_table_anew_and_swaps_it(either):
    with transaction(as_role(either, "materialize").database) as connection:
        connection.exec_driver_sql("CREATE TABLE online.things_fv__2 (user_id text PRIMARY KEY)")
        connection.exec_driver_sql("DROP TABLE online.things_fv")
        connection.exec_driver_sql("ALTER TABLE online.things_fv__2 RENAME TO things_fv")
    with transaction(as_role(either, "predict").database) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM online.things_fv").scalar_one() == 0


@pytest.mark.postgres
def test_features_apply_widens_a_table_that_materialize_owns(server):
    with transaction(as_role(server, "feast_apply").database) as connection:
        connection.exec_driver_sql("ALTER TABLE online.things_fv ADD COLUMN IF NOT EXISTS more bigint")


@pytest.mark.postgres
def test_a_table_made_after_the_grants_is_readable_by_those_who_should(server):
    with transaction(as_role(server, "feast_apply").database) as connection:
        connection.exec_driver_sql("CREATE TABLE source.later (user_id text)")
    with transaction(as_role(server, "ingest").database) as connection:
        connection.exec_driver_sql("INSERT INTO source.later VALUES ('a')")
        connection.exec_driver_sql("ANALYZE source.later")
    refused(server, "predict", "SELECT * FROM source.later")


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("role", "database"), [("predict", "mlflow_name"), ("mlflow", "name"), ("train", "mlflow_name")]
)
def test_nobody_enters_a_database_that_is_not_its_own(server, role, database):
    with (
        pytest.raises(DependencyDown),
        transaction(as_role(server, role, name=getattr(server.database, database)).database) as connection,
    ):
        connection.exec_driver_sql("SELECT 1")


@pytest.mark.postgres
def test_rights_to_connect_follow_the_home_of_each_role(server):
    with transaction(server.database) as connection:
        for role in roles.ROLES:
            for name in (server.database.name, server.database.mlflow_name):
                home = server.database.mlflow_name if role == "mlflow" else server.database.name
                may = connection.execute(
                    sa.text("SELECT has_database_privilege(:role, :name, 'CONNECT')"),
                    {"role": server.database.role_prefix + role, "name": name},
                ).scalar_one()
                assert may == (name == home or role == "backup"), (role, name)


@pytest.mark.postgres
def test_backup_reads_everything_and_changes_nothing(server):
    with transaction(as_role(server, "backup").database) as connection:
        connection.exec_driver_sql("SELECT * FROM feast.feature_views")
        connection.exec_driver_sql("SELECT * FROM streamflow.quarantine")
    refused(server, "backup", "INSERT INTO source.things VALUES ('x')")


@pytest.mark.postgres
def test_preparing_again_changes_nothing_and_sets_new_passwords(server):
    revision = prepare.prepare(server.database, PASSWORDS | {"predict": "rotated"})
    assert revision == prepare.newest()
    with transaction(server.database) as connection:
        verifier = connection.execute(
            sa.text("SELECT rolpassword FROM pg_authid WHERE rolname = :role"),
            {"role": server.database.role_prefix + "predict"},
        ).scalar_one()
    prepare.prepare(server.database, PASSWORDS)
    assert verifier.startswith("SCRAM-SHA-256$")


@pytest.mark.postgres
def test_a_right_that_was_taken_out_of_the_table_is_revoked(server):
    with transaction(server.database) as connection:
        connection.exec_driver_sql(
            f"GRANT SELECT ON source.things TO {quote(server.database.role_prefix + 'predict')}"
        )
    prepare.grant(server.database)
    assert not allowed(server, "predict", "source.things", "SELECT")


@pytest.mark.postgres
def test_everybody_waits_for_the_feature_repo_however_roles_were_made(either):
    for role in sorted(set(roles.LOGINS) - {"mlflow"}):
        prepare.wait(as_role(either, role).database, either.feast.repo, "applied", 0)


@pytest.mark.postgres
def test_without_the_password_of_features_apply_grants_are_not_called_set(settings):
    by_hand = made("by hand", settings)
    with pytest.raises(UsageError, match="feast_apply"):
        prepare.finish(as_role(by_hand, "owner").database, by_hand.feast.repo, {}, with_roles=False)


@pytest.mark.postgres
def test_a_right_that_was_taken_out_is_revoked_by_the_owner_too(settings):
    by_hand = made("by hand", settings)
    predict = quote(by_hand.database.role_prefix + "predict")
    with transaction(as_role(by_hand, "feast_apply").database) as connection:
        connection.exec_driver_sql(f"GRANT SELECT ON source.things TO {predict}")
    prepare.finish(as_role(by_hand, "owner").database, by_hand.feast.repo, PASSWORDS, with_roles=False)
    assert not allowed(by_hand, "predict", "source.things", "SELECT")


@pytest.mark.postgres
def test_waiting_ends_when_the_feature_repo_is_marked_as_applied(server):
    waiter = as_role(server, "feast_serve")
    with transaction(server.database) as connection:
        connection.exec_driver_sql("COMMENT ON SCHEMA feast IS NULL")
    prepare.wait(waiter.database, waiter.feast.repo, "migrated", 0)
    with pytest.raises(DependencyDown, match="has not been applied"):
        prepare.wait(waiter.database, waiter.feast.repo, "applied", 0, pause=lambda seconds: None)
    prepare.stamp(server.database, server.feast.repo)
    prepare.wait(waiter.database, waiter.feast.repo, "applied", 0)


@pytest.mark.postgres
def test_rights_are_brought_up_to_date_beside_somebody_who_reads(server, monkeypatch):
    """A grant that waited for a reader would block later readers: predict would stop at every upgrade."""
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=2s")
    engine(server.database).dispose()
    with transaction(as_role(server, "predict").database) as reader:
        reader.exec_driver_sql("SELECT * FROM online.things_fv")
        prepare.grant(server.database)
    engine(server.database).dispose()
