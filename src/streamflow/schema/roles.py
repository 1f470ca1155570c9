"""One PostgreSQL role per component: the table of roles and their privileges, and the SQL that applies it.

A grant is (privileges, schema, tables), where tables is None for the schema itself, "*" for all its present
and future tables, or a tuple of table names. Grants apply in StreamFlow's own database, not in MLflow's.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from streamflow.postgres.names import (
    FEAST,
    FEATURES,
    MATERIALIZATIONS,
    MONITORING,
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
        summary: The component that logs in with this role.
        grants: Privileges on schemas and tables.
        database: Privileges on the database itself (TEMPORARY), besides CONNECT.
        creates: Schemas in which the role creates, and so owns, tables and views.
        acts_as: Other StreamFlow roles that this role is a member of; it shares their ownership of tables.
        member_of: Predefined PostgreSQL roles that this role is a member of.
        login: Whether a component logs in with it; False for a group of personal logins.
    """

    summary: str
    grants: tuple[Grant, ...] = ()
    database: tuple[str, ...] = ()
    creates: tuple[str, ...] = ()
    acts_as: tuple[str, ...] = ()
    member_of: tuple[str, ...] = ()
    login: bool = True


def _use(*schemas: str) -> tuple[Grant, ...]:
    return tuple(("USAGE", schema, None) for schema in schemas)


def _read(*schemas: str) -> tuple[Grant, ...]:
    return (*_use(*schemas), *(("SELECT", schema, "*") for schema in schemas))


# Each component waits for its revision before it starts, and each job records its outcome.
_WAIT: tuple[Grant, ...] = (*_use(PLATFORM), ("SELECT", PLATFORM, ("alembic_version",)))
_JOB: tuple[Grant, ...] = (*_WAIT, ("SELECT, INSERT", PLATFORM, ("job_runs", "job_starts")))
_DROPS: tuple[Grant, ...] = (("SELECT", PLATFORM, ("drops", "drop_files", "drop_chain")),)

# The ledger of promotions, and what a promotion writes beside it.
_RELEASES = ("current_releases", "releases", "release_pieces")
_PROMOTE: tuple[Grant, ...] = (
    ("SELECT, INSERT", PLATFORM, ("releases", "release_pieces", "release_checks", "mlflow_in_line")),
    ("SELECT", PLATFORM, ("promotions", "current_releases", "trained_models", "signed_heads")),
    ("SELECT", PLATFORM, ("erased", "erased_runs", "erasure_steps", "forgotten_months")),
)

OWNER, APPLY, MATERIALIZE, MLFLOW = "owner", "feast_apply", "materialize", "mlflow"

ROLES: Mapping[str, Role] = {
    OWNER: Role(
        "migrations; owns the platform's tables, the views that a run reads, and the functions that erase",
        (("SELECT, DELETE", SOURCE, "*"), ("SELECT, DELETE", ONLINE, "*")),
        creates=SCHEMAS,
    ),
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
        (
            *_WAIT,
            *_read(ONLINE),
            ("SELECT", PLATFORM, _RELEASES),
            ("INSERT", PLATFORM, ("predictions",)),
        ),
    ),
    "ingest": Role(
        "ingest",
        (
            *_JOB,
            ("SELECT, INSERT", PLATFORM, ("drops", "drop_files", "quarantine")),
            ("SELECT", PLATFORM, ("drop_chain", "erased")),
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
        "train; reads a schema `known_*` of views in each run, records promotions, and asks the registrar for them",
        (
            *_JOB,
            *_DROPS,
            *_read(SOURCE, FEATURES, FEAST, MONITORING),
            *_PROMOTE,
            ("INSERT", PLATFORM, ("trained_models",)),
            ("SELECT, INSERT", PLATFORM, ("promotion_requests",)),
        ),
        database=("TEMPORARY",),
    ),
    "registrar": Role(
        "the registrar; answers requests for promotions, and reads a schema `known_*` of views when it judges",
        (
            *_WAIT,
            *_DROPS,
            *_read(SOURCE, FEATURES, FEAST),
            *_PROMOTE,
            ("SELECT, INSERT", PLATFORM, ("promotion_requests", "signed_heads")),
        ),
        database=("TEMPORARY",),
    ),
    "score": Role(
        "score; reads a schema `known_*` of views in each run",
        (
            *_JOB,
            *_DROPS,
            *_read(SOURCE, FEATURES, FEAST, ONLINE),
            ("SELECT, INSERT", PLATFORM, ("scorings", "scores", "scoring_refusals")),
            ("SELECT", PLATFORM, ("scoring_runs", "scoring_shards")),
            ("SELECT", PLATFORM, ("promotions", *_RELEASES)),
        ),
        database=("TEMPORARY",),
    ),
    "monitor": Role(
        "monitor; adds verdicts",
        (
            *_JOB,
            *_read(PLATFORM, SOURCE, FEATURES, ONLINE, FEAST, MONITORING),
            ("INSERT", MONITORING, ("drift", "drift_features", "quality", "harm")),
        ),
    ),
    "exporter": Role("the exporter of metrics", _read(PLATFORM, SOURCE, FEATURES, ONLINE, MONITORING)),
    "backup": Role(
        "backup; reads everything, in MLflow's database too", _JOB, member_of=("pg_read_all_data",)
    ),
    "erase": Role(
        "erase and retention; removes rows of one person or of old months by functions of the owner, no others",
        (
            *_JOB,
            ("SELECT, INSERT", PLATFORM, ("erasures",)),
            ("SELECT", PLATFORM, ("erased", "erasure_steps", "erased_runs", "forgotten_months")),
            # To vacuum what was removed.
            *(*_use(SOURCE, ONLINE), ("MAINTAIN", SOURCE, "*"), ("MAINTAIN", ONLINE, "*")),
            ("MAINTAIN", PLATFORM, ("quarantine", "scores", "predictions", "job_runs")),
        ),
    ),
    "promote": Role(
        "group of the personal logins of people who promote, roll back and judge",
        (*_WAIT, *_DROPS, *_read(SOURCE, FEATURES, FEAST), *_PROMOTE),
        database=("TEMPORARY",),
        login=False,
    ),
    "read": Role(
        "group of the personal logins of people who read features, scores and history in notebooks",
        (
            *_use(PLATFORM),
            *_DROPS,
            *_read(SOURCE, FEATURES, ONLINE, FEAST, MONITORING),
            ("SELECT", PLATFORM, ("scorings", "scores", "complete_scores", "scoring_refusals")),
        ),
        login=False,
    ),
    MLFLOW: Role("the MLflow server, in a database of its own"),
}
LOGINS = tuple(name for name, role in ROLES.items() if role.login)
"""The roles that components log in with; each has a password."""

_MAINTAIN_SINCE = 170000


@dataclass(frozen=True)
class Plan:
    """Everything that the SQL depends on besides ROLES.

    Attributes:
        database: Name of StreamFlow's database.
        mlflow_database: Name of MLflow's database.
        prefix: Prefix of the name of each role.
        server_version: The server's `server_version_num`.
        passwords: Password of each role; other roles keep their present password.
    """

    database: str
    mlflow_database: str
    prefix: str
    server_version: int = 170000
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)

    def role(self, name: str) -> str:
        """Return a role's quoted, prefixed name."""
        return quote(self.prefix + name)


def role_statements(plan: Plan, existing: set[str]) -> list[str]:
    """Return SQL that creates missing roles and sets passwords. It runs in any database of the server. Pure.

    Args:
        plan: Names, server version and passwords.
        existing: Names of the server's roles.
    """
    statements = []
    if plan.server_version >= 160000:
        # From PostgreSQL 16 on, CREATEROLE alone does not let an administrator act as the roles it creates.
        statements.append("SET createrole_self_grant = 'set, inherit'")
    for name, role in ROLES.items():
        if plan.prefix + name not in existing:
            statements.append(f"CREATE ROLE {plan.role(name)} {'LOGIN' if role.login else 'NOLOGIN'}")
        if name in plan.passwords:
            statements.append(f"ALTER ROLE {plan.role(name)} PASSWORD {literal(plan.passwords[name])}")
        statements += [f"GRANT {group} TO {plan.role(name)}" for group in role.member_of]
    for name, role in ROLES.items():
        statements += [f"GRANT {plan.role(other)} TO {plan.role(name)}" for other in role.acts_as]
    return statements


def database_statements(plan: Plan, existing: set[str]) -> list[str]:
    """Return SQL that creates missing databases, sets their owners and restricts who may connect. Pure.

    Must run outside a transaction, as CREATE DATABASE requires.

    Args:
        plan: Names of databases and roles.
        existing: Names of the server's databases.
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
    return [*statements, revoke_create(plan)]


def revoke_create(plan: Plan) -> str:
    """Return SQL that takes away the right to create schemas in the database. Pure."""
    # Earlier versions let some roles create schemas.
    others = ", ".join(plan.role(name) for name in ROLES if name not in (OWNER, MLFLOW))
    return f"REVOKE CREATE ON DATABASE {quote(plan.database)} FROM {others}"


def schema_statements(plan: Plan) -> list[str]:
    """Return SQL that creates the schemas and sets default privileges for future tables. Pure."""
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
            elif tables == "*" and _known(plan, privileges):
                statements += [
                    f"ALTER DEFAULT PRIVILEGES FOR ROLE {plan.role(creator)} IN SCHEMA {quote(schema)}"
                    f" GRANT {_known(plan, privileges)} ON TABLES TO {plan.role(name)}"
                    for creator in _creators(schema)
                ]
    return statements


def owner_statements(
    plan: Plan, existing: Mapping[str, set[str]], functions: Set[str] = frozenset()
) -> list[str]:
    """Return SQL that reassigns restored tables, views and functions to their usual owners. Pure.

    Args:
        plan: Names of roles.
        existing: Tables and views of each schema, all owned by the role `owner`.
        functions: Functions of the schema `source`.
    """
    made_by = {SOURCE: APPLY, FEATURES: APPLY, FEAST: APPLY, ONLINE: MATERIALIZE}
    of_functions = [
        f"ALTER FUNCTION {quote(SOURCE, name)} OWNER TO {plan.role(APPLY)}" for name in sorted(functions)
    ]
    return of_functions + [
        f"ALTER TABLE {quote(schema, table)} OWNER TO {plan.role(made_by[schema])}"
        for schema, tables in sorted(existing.items())
        if schema in made_by
        for table in sorted(tables - {MATERIALIZATIONS})
    ]


def table_statements(
    plan: Plan, existing: Mapping[str, set[str]], owned: Set[str] = frozenset()
) -> list[str]:
    """Return SQL that sets the privileges on existing tables to exactly those in ROLES. Pure.

    Args:
        plan: Names of roles, and the server version.
        existing: Tables and views of each schema.
        owned: Tables in the schema `online` that already have the right owner. They are skipped, because
            ALTER TABLE takes an exclusive lock that would keep predict from reading them until the commit.
    """
    # `features apply` creates online tables, but materialize must own them to swap them.
    statements = [
        f"ALTER TABLE {quote('online', table)} OWNER TO {plan.role(MATERIALIZE)}"
        for table in sorted(existing.get(ONLINE, set()) - {MATERIALIZATIONS} - owned)
    ]
    for name, role in ROLES.items():
        if not role.creates:
            # Revoke first, or grants of earlier versions would stay. Not from roles that own tables: REVOKE
            # would also remove their privileges as owners.
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
            granted = _known(plan, privileges)
            if names and granted:
                statements.append(f"GRANT {granted} ON {_listed(schema, names)} TO {plan.role(name)}")
    return statements


def _creators(schema: str) -> list[str]:
    return [name for name, role in ROLES.items() if schema in role.creates]


def _listed(schema: str, tables: Set[str]) -> str:
    return ", ".join(quote(schema, table) for table in sorted(tables))


def _known(plan: Plan, privileges: str) -> str:
    """Drop the privileges that an older server does not support."""
    wanted = privileges.split(", ")
    if plan.server_version < _MAINTAIN_SINCE:
        wanted = [item for item in wanted if item != "MAINTAIN"]
    return ", ".join(wanted)
