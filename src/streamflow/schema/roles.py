"""One PostgreSQL role per component, and what each may do: a table, and the SQL that follows from it.

`grants` lists what a role may do in the database `streamflow`. An item is (privileges, schema, tables), where
tables is None for the schema itself, "*" for every table in it now and later, else the names of tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

import sqlalchemy as sa

from streamflow.postgres import catalog
from streamflow.postgres.names import (
    FEAST,
    FEATURES,
    MATERIALIZATIONS,
    ONLINE,
    PLATFORM,
    SCHEMAS,
    SOURCE,
    literal,
    quote,
)

Grant = tuple[str, str, str | tuple[str, ...] | None]


@dataclass(frozen=True)
class Role:
    """A component's role.

    Attributes:
        summary: Who logs in with it.
        grants: What it may do, besides logging in.
        database: Rights on the database itself (TEMPORARY, CREATE), besides CONNECT.
        creates: Schemas in which it makes objects that it then owns.
        acts_as: Our roles whose rights it has too, among them the rights of an owner.
        member_of: Roles of PostgreSQL's own that it inherits.
    """

    summary: str
    grants: tuple[Grant, ...] = ()
    database: tuple[str, ...] = ()
    creates: tuple[str, ...] = ()
    acts_as: tuple[str, ...] = ()
    member_of: tuple[str, ...] = ()


def _use(*schemas: str) -> tuple[Grant, ...]:
    return tuple(("USAGE", schema, None) for schema in schemas)


def _read(*schemas: str) -> tuple[Grant, ...]:
    return (*_use(*schemas), *(("SELECT", schema, "*") for schema in schemas))


# Every role in `streamflow` reads the revision, to wait for it, and jobs write their outcome.
_WAIT: tuple[Grant, ...] = (*_use(PLATFORM), ("SELECT", PLATFORM, ("alembic_version",)))
_JOB: tuple[Grant, ...] = (*_WAIT, ("SELECT, INSERT", PLATFORM, ("job_runs",)))
_DROPS: tuple[Grant, ...] = (("SELECT", PLATFORM, ("drops", "drop_files")),)

OWNER, APPLY, MATERIALIZE, MLFLOW = "owner", "feast_apply", "materialize", "mlflow"

ROLES: Mapping[str, Role] = {
    OWNER: Role("migrations; owns the platform's tables", creates=SCHEMAS),
    APPLY: Role(
        "streamflow features apply; owns what follows from feature_repo/, and alone writes Feast's registry",
        (*_WAIT, ("SELECT", PLATFORM, ("drops",))),
        database=("TEMPORARY",),
        creates=(SOURCE, FEATURES, ONLINE, FEAST),
        acts_as=(MATERIALIZE,),
    ),
    "feast_serve": Role("Feast's feature server", (*_WAIT, *_read(FEAST, ONLINE))),
    "predict": Role(
        "the predict service; adds to the log of predictions and cannot read it",
        (*_WAIT, *_read(ONLINE), ("INSERT", PLATFORM, ("predictions",))),
    ),
    "ingest": Role(
        "ingest",
        (
            *_JOB,
            ("SELECT, INSERT", PLATFORM, ("drops", "drop_files", "quarantine")),
            *_use(SOURCE),
            ("SELECT, INSERT, MAINTAIN", SOURCE, "*"),
        ),
        database=("TEMPORARY",),
    ),
    MATERIALIZE: Role(
        "materialize; owns the online tables, because it builds them anew and swaps them",
        (
            *_JOB,
            *_DROPS,
            *_read(SOURCE, FEATURES, FEAST),
            ("SELECT, INSERT, UPDATE", ONLINE, "*"),
        ),
        database=("TEMPORARY",),
        creates=(ONLINE,),
    ),
    "train": Role(
        "train; makes a schema `known_*` of views for each run, and records promotions",
        (
            *_JOB,
            *_DROPS,
            *_read(SOURCE, FEATURES, FEAST),
            ("SELECT, INSERT", PLATFORM, ("promotions", "promotion_intents")),
        ),
        database=("TEMPORARY", "CREATE"),
    ),
    "score": Role(
        "score; makes a schema `known_*` of views for each run",
        (
            *_JOB,
            *_DROPS,
            *_read(SOURCE, FEATURES, FEAST, ONLINE),
            ("SELECT, INSERT", PLATFORM, ("scorings", "scores", "scoring_refusals")),
            ("SELECT", PLATFORM, ("promotions",)),
        ),
        database=("TEMPORARY", "CREATE"),
    ),
    "monitor": Role("monitor", (*_JOB, *_read(PLATFORM, SOURCE, FEATURES, ONLINE, FEAST))),
    "exporter": Role("the exporter of metrics", _read(PLATFORM, SOURCE, FEATURES, ONLINE)),
    "backup": Role(
        "backup; reads everything, in MLflow's database too", _JOB, member_of=("pg_read_all_data",)
    ),
    MLFLOW: Role("the MLflow server, in a database of its own"),
}

_MAINTAIN_SINCE = 170000


@dataclass(frozen=True)
class Plan:
    """Everything the SQL depends on.

    Attributes:
        database: Name of the platform's database.
        mlflow_database: Name of MLflow's.
        prefix: Put before every role's name.
        server_version: `server_version_num` of the server.
        passwords: Password per role; a role without one keeps what it has.
    """

    database: str
    mlflow_database: str
    prefix: str
    server_version: int = 170000
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)

    def role(self, name: str) -> str:
        """Quoted name of a role in PostgreSQL."""
        return quote(self.prefix + name)


def role_statements(plan: Plan, existing: set[str]) -> list[str]:
    """SQL that makes missing roles and sets passwords; runs in any database of the server. Pure.

    Args:
        existing: Names of the roles that the server has.
    """
    statements = []
    if plan.server_version >= 160000:
        # An administrator who is no superuser may then act as the roles it makes.
        statements.append("SET createrole_self_grant = 'set, inherit'")
    for name, role in ROLES.items():
        if plan.prefix + name not in existing:
            statements.append(f"CREATE ROLE {plan.role(name)} LOGIN")
        if name in plan.passwords:
            statements.append(f"ALTER ROLE {plan.role(name)} PASSWORD {literal(plan.passwords[name])}")
        statements += [f"GRANT {group} TO {plan.role(name)}" for group in role.member_of]
    for name, role in ROLES.items():
        statements += [f"GRANT {plan.role(other)} TO {plan.role(name)}" for other in role.acts_as]
    return statements


def database_statements(plan: Plan, existing: set[str]) -> list[str]:
    """SQL that makes missing databases, gives them to their owners and closes them to everybody else. Pure.

    Args:
        existing: Names of the databases that the server has. CREATE DATABASE runs outside a transaction.
    """
    statements = []
    for name, owner in ((plan.database, OWNER), (plan.mlflow_database, MLFLOW)):
        if name not in existing:
            statements.append(f"CREATE DATABASE {quote(name)} OWNER {plan.role(owner)}")
        statements += [
            f"ALTER DATABASE {quote(name)} OWNER TO {plan.role(owner)}",
            f"REVOKE ALL ON DATABASE {quote(name)} FROM PUBLIC",
        ]
    for name, role in ROLES.items():
        rights = ", ".join(("CONNECT", *role.database))
        home = plan.mlflow_database if name == MLFLOW else plan.database
        statements.append(f"GRANT {rights} ON DATABASE {quote(home)} TO {plan.role(name)}")
    statements.append(f"GRANT CONNECT ON DATABASE {quote(plan.mlflow_database)} TO {plan.role('backup')}")
    return statements


def schema_statements(plan: Plan) -> list[str]:
    """SQL that makes the schemas and says what roles may do with tables that are made later. Pure."""
    statements = ["REVOKE ALL ON SCHEMA public FROM PUBLIC"]
    for schema in SCHEMAS:
        statements.append(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)} AUTHORIZATION {plan.role(OWNER)}")
    for name, role in ROLES.items():
        if name == MLFLOW:
            continue
        for schema in role.creates:
            statements.append(f"GRANT USAGE, CREATE ON SCHEMA {quote(schema)} TO {plan.role(name)}")
        for privileges, schema, tables in role.grants:
            if tables is None:
                statements.append(f"GRANT {privileges} ON SCHEMA {quote(schema)} TO {plan.role(name)}")
            elif tables == "*":
                statements += [
                    f"ALTER DEFAULT PRIVILEGES FOR ROLE {plan.role(creator)} IN SCHEMA {quote(schema)}"
                    f" GRANT {_known(plan, privileges)} ON TABLES TO {plan.role(name)}"
                    for creator in _creators(schema)
                ]
    return statements


def owner_statements(plan: Plan, existing: Mapping[str, set[str]]) -> list[str]:
    """SQL that gives tables and views to whom they would belong had they been made here; runs after a restore. Pure.

    Args:
        existing: Tables and views of each schema; all of them belong to the owner.
    """
    made_by = {SOURCE: APPLY, FEATURES: APPLY, FEAST: APPLY, ONLINE: MATERIALIZE}
    return [
        f"ALTER TABLE {quote(schema, table)} OWNER TO {plan.role(made_by[schema])}"
        for schema, tables in sorted(existing.items())
        if schema in made_by
        for table in sorted(tables - {MATERIALIZATIONS})
    ]


def table_statements(
    plan: Plan, existing: Mapping[str, set[str]], owned: Set[str] = frozenset()
) -> list[str]:
    """SQL that makes the rights on existing tables exactly those of ROLES. Pure.

    Args:
        existing: Tables and views of each schema.
        owned: Tables of the schema `online` that belong to the right role already. They are left alone: another
            ALTER would keep predict from reading them until all of this is committed.
    """
    # `features apply` makes online tables, materialize swaps them.
    statements = [
        f"ALTER TABLE {quote('online', table)} OWNER TO {plan.role(MATERIALIZE)}"
        for table in sorted(existing.get(ONLINE, set()) - {MATERIALIZATIONS} - owned)
    ]
    for name, role in ROLES.items():
        if not role.creates:
            # What a former version granted is taken back first. Owners would lose what is theirs.
            statements += [
                f"REVOKE ALL ON {_listed(schema, tables)} FROM {plan.role(name)}"
                for schema, tables in sorted(existing.items())
                if tables
            ]
        for privileges, schema, tables in role.grants:
            names = (
                existing.get(schema, set())
                if tables == "*"
                else set(tables or ()) & existing.get(schema, set())
            )
            if names:
                granted = _known(plan, privileges)
                statements.append(f"GRANT {granted} ON {_listed(schema, names)} TO {plan.role(name)}")
    return statements


def ensure_cluster(connection: sa.Connection, plan: Plan) -> None:
    """Make roles and databases. The connection autocommits and belongs to an administrator."""
    statements = role_statements(plan, catalog.roles(connection))
    _run(connection, statements + database_statements(plan, catalog.databases(connection)))


def ensure_database_rights(connection: sa.Connection, plan: Plan) -> None:
    """Set owner and rights of the two databases, which exist."""
    _run(connection, database_statements(plan, {plan.database, plan.mlflow_database}))


def ensure_schemas(connection: sa.Connection, plan: Plan) -> None:
    """Make the schemas of the platform's database, and rights on tables to come."""
    _run(connection, schema_statements(plan))


def ensure_grants(connection: sa.Connection, plan: Plan, *, own: bool = False) -> None:
    """Bring rights on existing tables to what ROLES says.

    Args:
        own: Only on tables whose owner's rights the login has; the others are left to their own owners.
    """
    existing, owned = _tables(connection, plan, own=own)
    _run(connection, table_statements(plan, existing, owned))


def ensure_owners(connection: sa.Connection, plan: Plan) -> None:
    """Give tables and views, all of which belong to the owner, to whom they would belong had they been made here."""
    existing, _ = _tables(connection, plan, own=False)
    _run(connection, owner_statements(plan, existing))


def _tables(connection: sa.Connection, plan: Plan, *, own: bool) -> tuple[dict[str, set[str]], set[str]]:
    """Tables and views of each schema, and which of `online` belong to materialize already."""
    existing: dict[str, set[str]] = {}
    owned = set()
    for relation in catalog.relations(connection, SCHEMAS):
        if own and not relation.ours:
            continue
        existing.setdefault(relation.schema, set()).add(relation.name)
        if relation.schema == ONLINE and quote(relation.owner) == plan.role(MATERIALIZE):
            owned.add(relation.name)
    return existing, owned


def _run(connection: sa.Connection, statements: list[str]) -> None:
    cursor = connection.connection.cursor()
    for statement in statements:
        cursor.execute(statement)


def _creators(schema: str) -> list[str]:
    return [name for name, role in ROLES.items() if schema in role.creates]


def _listed(schema: str, tables: Set[str]) -> str:
    return ", ".join(quote(schema, table) for table in sorted(tables))


def _known(plan: Plan, privileges: str) -> str:
    """The privileges without those that an older server does not know."""
    wanted = privileges.split(", ")
    if plan.server_version < _MAINTAIN_SINCE:
        wanted = [item for item in wanted if item != "MAINTAIN"]
    return ", ".join(wanted)
