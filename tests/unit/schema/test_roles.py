"""SQL generated from the table of roles."""

from pathlib import Path

import pytest
import yaml

from streamflow.schema.functions import (
    CALLERS,
    EVERYBODY,
    JOBS,
    function_statements,
    job_statements,
    source_statements,
)
from streamflow.schema.roles import (
    ROLES,
    SCHEMAS,
    Plan,
    database_statements,
    owner_statements,
    role_statements,
    schema_statements,
    table_statements,
)

PLAN = Plan("churn", "churn_mlflow", "sf_", passwords={"predict": "it's"})
TABLES = {
    "online": {"usage_fv", "materializations"},
    "source": {"users"},
    "streamflow": {"job_runs", "drops"},
}


def test_missing_roles_are_made_and_existing_ones_are_not():
    statements = role_statements(PLAN, {"sf_predict"})
    made = [s for s in statements if s.startswith("CREATE ROLE")]
    assert len(made) == len(ROLES) - 1
    assert not [s for s in made if '"sf_predict"' in s]


def test_a_password_is_quoted_and_a_role_without_one_keeps_its_own():
    statements = [s for s in role_statements(PLAN, set()) if "PASSWORD" in s]
    assert statements == ["ALTER ROLE \"sf_predict\" PASSWORD 'it''s'"]


def test_passwords_stay_out_of_the_plans_text():
    assert "it's" not in repr(PLAN)


def test_a_database_belongs_to_its_role_and_is_closed_to_everybody_else():
    statements = database_statements(PLAN, {"churn"})
    assert 'CREATE DATABASE "churn_mlflow" OWNER "sf_mlflow"' in statements
    assert not [s for s in statements if s.startswith('CREATE DATABASE "churn" ')]
    assert 'REVOKE ALL ON DATABASE "churn" FROM PUBLIC' in statements


def test_online_tables_go_to_materialize_but_the_record_of_materializations_does_not():
    owners = [s for s in table_statements(PLAN, TABLES) if "OWNER TO" in s]
    assert owners == ['ALTER TABLE "online"."usage_fv" OWNER TO "sf_materialize"']


def test_after_a_restore_tables_belong_to_whom_they_would_have_been_made_by():
    assert owner_statements(PLAN, TABLES | {"feast": {"projects"}}) == [
        'ALTER TABLE "feast"."projects" OWNER TO "sf_feast_apply"',
        'ALTER TABLE "online"."usage_fv" OWNER TO "sf_materialize"',
        'ALTER TABLE "source"."users" OWNER TO "sf_feast_apply"',
    ]


@pytest.mark.parametrize(("version", "maintains"), [(160004, False), (170002, True)])
def test_an_older_server_is_not_asked_for_privileges_it_does_not_know(version, maintains):
    plan = Plan("churn", "mlflow", "sf_", server_version=version)
    text = "\n".join(schema_statements(plan) + table_statements(plan, TABLES))
    assert ("MAINTAIN" in text) is maintains


def test_every_grant_names_a_schema_of_ours():
    assert {schema for role in ROLES.values() for _, schema, _ in role.grants} <= set(SCHEMAS)
    assert {schema for role in ROLES.values() for schema in role.creates} <= set(SCHEMAS)
    assert {caller for callers in CALLERS.values() for caller in callers} <= {*ROLES, *EVERYBODY}


def test_each_job_is_recorded_by_the_role_it_runs_with():
    """A restore runs as an administrator, who may record everything."""
    files = Path(__file__).parents[3].joinpath("k8s-jobs").glob("*.yaml")
    runs_with = {
        path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))["databaseRole"] for path in files
    }
    assert runs_with.pop("restore") == "admin"
    assert {job: role for role, jobs in JOBS.items() for job in jobs} == runs_with


def test_no_role_may_create_schemas():
    assert not [name for name, role in ROLES.items() if "CREATE" in role.database]
    (revoked,) = [s for s in database_statements(PLAN, set()) if s.startswith("REVOKE CREATE")]
    assert all(f'"sf_{name}"' in revoked for name in set(ROLES) - {"owner", "mlflow"})


def test_no_role_may_change_or_delete_rows_but_materialize_online_and_the_owner_for_erasures():
    changing = {
        (name, schema)
        for name, role in ROLES.items()
        for privileges, schema, _ in role.grants
        if {"UPDATE", "DELETE", "TRUNCATE", "ALL"} & set(privileges.split(", "))
    }
    assert changing == {("materialize", "online"), ("owner", "source"), ("owner", "online")}


@pytest.mark.parametrize(("version", "granted"), [(150010, False), (160000, True)])
def test_an_administrator_may_act_as_the_roles_it_makes_where_the_server_asks_for_it(version, granted):
    statements = role_statements(Plan("churn", "churn_mlflow", "sf_", version), set())
    assert ("SET createrole_self_grant = 'set, inherit'" in statements) == granted


APPROVED = Path(__file__).with_name("roles.sql")


def everything():
    """All statements for a server that has nothing yet, in the order in which they run."""
    plan = Plan("churn", "churn_mlflow", "sf_", 170000, {"predict": "it's"})
    there = TABLES | {"feast": {"projects"}, "features": {"users_snapshots"}}
    parts = {
        "roles": role_statements(plan, set()),
        "databases": database_statements(plan, set()),
        "schemas": schema_statements(plan),
        "tables": table_statements(plan, there),
        "owners": owner_statements(plan, there, {"add_partition", "index_partition"}),
        "functions": function_statements(plan.role, sorted(set(ROLES) - {"owner"}), {*CALLERS, "drop_hash"}),
        "functions of source": source_statements(
            plan.role, sorted(set(ROLES) - {"feast_apply"}), {"add_partition", "index_partition"}
        ),
        "jobs": job_statements(plan.prefix),
    }
    return "".join(f"-- {name}\n" + "".join(f"{item};\n" for item in items) for name, items in parts.items())


def test_what_each_role_is_granted_is_what_was_approved():
    """A change of a grant shows up in roles.sql: read it there before you write the file anew from `everything()`."""
    assert everything() == APPROVED.read_text(encoding="utf-8")
