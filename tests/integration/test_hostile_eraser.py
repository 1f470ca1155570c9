"""The role `erase` erases through the owner's functions and can do nothing else; no other role can erase."""

import prepared
import pytest
import sqlalchemy as sa

from streamflow.erasure import acts, listed
from streamflow.erasure.acts import Asked
from streamflow.erasure.key import Key
from streamflow.errors import Refused, UsageError
from streamflow.postgres.engine import transaction
from streamflow.schema import roles

pytestmark = pytest.mark.postgres
PASSWORDS = {name: f"secret-of-{name}" for name in roles.LOGINS}
KEY = Key(b"the key of the tests' list")
ASKED = Asked("asked for it", "tests")
CALLS = {
    "erase": "SELECT * FROM streamflow.erase('ada', :inner, :outer, 'x', 'x', '')",
    "count": "SELECT streamflow.count_entity('ada')",
    "mentions": "SELECT streamflow.mentions('ada')",
    "withdraw": "SELECT streamflow.withdraw_erasure('ada', :inner, :outer, 'x', 'x', '')",
    "step": "SELECT streamflow.record_erasure_step(gen_random_uuid(), 'done', '{}')",
    "run": "SELECT streamflow.record_erased_run(gen_random_uuid(), 'r', 1, 'f', 's', false)",
    "months": "SELECT * FROM streamflow.forget_months(1)",
    "again": "SELECT streamflow.erase_listed(:inner, :outer, ARRAY[repeat('0', 64)])",
}


@pytest.fixture(scope="module")
def server(module_settings):
    made = prepared.named(module_settings)
    prepared.by_the_job(made, PASSWORDS, _tables)
    yield made
    prepared.remove(made, PASSWORDS)


def _tables(settings):
    with transaction(settings.database) as connection:
        for table in ("source.things", "online.things_fv"):
            connection.exec_driver_sql(f"CREATE TABLE {table} (user_id text PRIMARY KEY)")


@pytest.fixture
def ada(server):
    """A user in a source table and in an online table."""
    for role, table in (("feast_apply", "source.things"), ("materialize", "online.things_fv")):
        with transaction(login(server, role)) as connection:
            connection.exec_driver_sql(f"INSERT INTO {table} VALUES ('ada'), ('bob') ON CONFLICT DO NOTHING")
    return server


def login(settings, role):
    return prepared.as_role(settings, PASSWORDS, role).database


def refused(database, *given, words="permission denied|may not|by the functions|append-only"):
    with pytest.raises(sa.exc.DBAPIError, match=words), transaction(database) as connection:
        for statement in given:
            connection.execute(sa.text(statement), KEY.pads if ":inner" in statement else {})


def test_the_role_erases_one_person_and_records_it(ada):
    done = acts.erase(login(ada, "erase"), KEY, "ada", ASKED)
    assert done.counts == {"online.things_fv": 1, "source.things": 1}
    with transaction(login(ada, "feast_apply")) as connection:
        assert connection.exec_driver_sql("SELECT user_id FROM source.things").scalars().all() == ["bob"]
    (act,) = [item for item in acts.history(login(ada, "erase")) if item.erasure_id == done.erasure_id]
    assert act.login == f"{ada.database.role_prefix}erase"
    assert act.entity_hash == KEY.hash("ada")
    # The partitions of the log belong to the owner alone; autovacuum cleans them, and the command says so.
    assert acts.vacuum(login(ada, "erase")) == ["streamflow.predictions"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("role", sorted(set(roles.LOGINS) - {"erase", "owner", "mlflow"}))
def test_no_other_role_can_call_what_erases_or_says_who_exists(ada, role, call):
    words = "permission denied|may not"
    refused(login(ada, role), CALLS[call], words=words)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM source.things",
        "SELECT * FROM source.things",
        "SELECT streamflow.remove_entity('bob', false)",
        "SELECT streamflow.record_erasure('withdraw', 'ada', :inner, :outer, 'x', 'x', '')",
        "INSERT INTO streamflow.erasures (action, entity_hash, key_id, why, asked_by)"
        " VALUES ('withdraw', repeat('0', 64), repeat('0', 16), 'x', 'x')",
        "UPDATE streamflow.erasures SET why = 'another'",
        "DELETE FROM streamflow.erasures",
        "SELECT streamflow.import_erasures('[]')",
        "INSERT INTO streamflow.forgotten_months (before, months, counts) VALUES (now(), 1, '{}')",
        CALLS["again"],
        "CREATE SCHEMA mine",
    ],
)
def test_the_role_can_do_nothing_else(ada, statement):
    # The setting that the triggers look at is of no use to a role that is not the owner.
    refused(login(ada, "erase"), "SELECT set_config('streamflow.erasing', 'on', true)", statement)


@pytest.mark.parametrize(
    ("role", "table", "trap"),
    [
        ("feast_apply", "source.things", "trigger"),
        ("materialize", "online.things_fv", "trigger"),
        ("feast_apply", "source.things", "rule"),
        ("feast_apply", "source.things", "policy"),
    ],
)
def test_the_owner_of_a_table_has_no_code_run_with_the_rights_of_the_platforms_owner(ada, role, table, trap):
    schema = table.split(".")[0]
    setting = {
        "trigger": (
            f"CREATE FUNCTION {schema}.trap() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp"
            " AS 'BEGIN RETURN OLD; END'",
            f"CREATE TRIGGER trap BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {schema}.trap()",
        ),
        "rule": (f"CREATE RULE trap AS ON DELETE TO {table} DO INSTEAD NOTHING",),
        "policy": (f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",),
    }
    undoing = {
        "trigger": (f"DROP TRIGGER trap ON {table}", f"DROP FUNCTION {schema}.trap()"),
        "rule": (f"DROP RULE trap ON {table}",),
        "policy": (f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",),
    }
    with transaction(login(ada, role)) as connection:
        for statement in setting[trap]:
            connection.exec_driver_sql(statement)
    try:
        with pytest.raises(Refused, match="Nothing was erased"):
            acts.erase(login(ada, "erase"), KEY, "ada", ASKED)
        refused(login(ada, "erase"), CALLS["count"], words="of its own")
    finally:
        with transaction(login(ada, role)) as connection:
            for statement in undoing[trap]:
                connection.exec_driver_sql(statement)


def test_another_key_is_refused_once_the_list_has_somebody(ada):
    acts.erase(login(ada, "erase"), KEY, "ada", ASKED)
    with pytest.raises(UsageError, match="another key"):
        acts.erase(login(ada, "erase"), Key(b"the key of somebody else"), "bob", ASKED)
    with transaction(login(ada, "ingest")) as connection:
        people = listed.read(connection)
    assert {person.entity_hash for person in people} == {KEY.hash("ada")}
    with pytest.raises(Refused, match="key of the list of erasures"):
        listed.usable(people, Key(b"the key of somebody else"))


def test_the_key_and_the_person_are_in_no_error_and_not_in_the_servers_view_of_statements(ada):
    with pytest.raises(UsageError) as told:
        acts.erase(login(ada, "erase"), KEY, "ada", Asked("ada asked", "tests"))
    assert "ada" not in str(told.value)
    with transaction(login(ada, "erase")) as connection:
        connection.execute(sa.text(CALLS["count"].replace("'ada'", ":entity")), {"entity": "ada"})
        running = connection.exec_driver_sql(
            "SELECT string_agg(query, ' ') FROM pg_stat_activity"
        ).scalar_one()
    assert "'ada'" not in running
