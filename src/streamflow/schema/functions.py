"""Which role may call which of the platform's functions and record which jobs, and the SQL that says so in a database.

Most of these functions write, as the owner of the platform's tables, what no role may write itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set

from streamflow.postgres.names import PLATFORM, SOURCE, literal, quote

JOBS: Mapping[str, tuple[str, ...]] = {
    "ingest": ("ingest",),
    "materialize": ("materialize",),
    "train": ("train", "audit", "promote"),
    "score": ("score", "parity"),
    "monitor": ("monitor",),
    "backup": ("backup",),
    "erase": ("erase", "retention"),
}
"""The jobs whose runs each role records: those that run with its login."""

EVERYBODY = ("PUBLIC",)
_PROMOTERS = ("train", "registrar", "promote")
_READERS_OF_THE_PAST = (*_PROMOTERS, "score", "read")
_APPLIERS = ("feast_apply",)
_ERASERS = ("erase",)

CALLERS: Mapping[str, tuple[str, ...]] = {
    "append_promotion": _PROMOTERS,
    "keep_releases": _PROMOTERS,
    "open_known": _READERS_OF_THE_PAST,
    "close_known": _READERS_OF_THE_PAST,
    "next_stamp": tuple(JOBS),
    "keep_job_runs": tuple(JOBS),
    "keep_scores": ("score",),
    "open_scoring": ("score",),
    "restart_scoring": ("score",),
    "finish_shard": ("score",),
    "abandon_scorings": ("score",),
    "keep_prediction_log": ("predict",),
    "entity_tables": _ERASERS,
    "key_column": _ERASERS,
    "erase": _ERASERS,
    "forget_months": _ERASERS,
    "withdraw_erasure": _ERASERS,
    "count_entity": _ERASERS,
    "mentions": _ERASERS,
    "record_erasure_step": _ERASERS,
    "record_erased_run": _ERASERS,
    "erased_hash": ("ingest",),
    "fields_of": ("ingest",),
    "refuse_unless_erasing": _APPLIERS,
    "check_source_rows": _APPLIERS,
    "add_partition": _APPLIERS,
    "index_partition": _APPLIERS,
    "fill_table": ("ingest",),
    "is_owner": EVERYBODY,
    "read_clock": EVERYBODY,
    "server_clock": EVERYBODY,
}
"""The roles that may call each function, or make it a trigger; the owner alone may call those that are not here."""


def function_statements(role: Callable[[str], str], others: Iterable[str], existing: Set[str]) -> list[str]:
    """Return SQL that sets who may call the platform's functions to exactly those in CALLERS. Pure.

    Args:
        role: Returns a role's quoted, prefixed name.
        others: Names of all roles but the owner.
        existing: All functions of the schema `streamflow`.
    """
    if not existing:
        return []
    # A restore leaves privileges out, and then everybody may call every function.
    functions = ", ".join(quote(PLATFORM, name) for name in sorted(existing))
    statements = [f"REVOKE ALL ON FUNCTION {functions} FROM {', '.join(['PUBLIC', *map(role, others)])}"]
    for name in sorted(CALLERS.keys() & existing):
        callers = ", ".join(caller if caller in EVERYBODY else role(caller) for caller in CALLERS[name])
        statements.append(f"GRANT EXECUTE ON FUNCTION {quote(PLATFORM, name)} TO {callers}")
    return statements


def source_statements(role: Callable[[str], str], others: Iterable[str], existing: Set[str]) -> list[str]:
    """Return SQL that lets ingest alone call the functions of the schema `source`, besides their owner. Pure.

    Args:
        role: Returns a role's quoted, prefixed name.
        others: Names of all roles but the owner of the functions.
        existing: Functions of the schema.
    """
    statements = []
    for name in sorted(existing):
        function = quote(SOURCE, name)
        statements.append(
            f"REVOKE ALL ON FUNCTION {function} FROM {', '.join(['PUBLIC', *map(role, others)])}"
        )
        statements.append(f"GRANT EXECUTE ON FUNCTION {function} TO {role('ingest')}")
    return statements


def job_statements(prefix: str) -> list[str]:
    """Return SQL that writes JOBS to the database, where a trigger reads it. Pure.

    Args:
        prefix: Prefix of the name of each role.
    """
    table = quote(PLATFORM, "job_logins")
    rows = ", ".join(
        f"({literal(prefix + role)}, {literal(job)})" for role, jobs in JOBS.items() for job in jobs
    )
    return [f"DELETE FROM {table}", f"INSERT INTO {table} (login, job) VALUES {rows}"]
