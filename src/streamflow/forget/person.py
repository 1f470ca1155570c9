"""Erase a person: PostgreSQL with the record, the list beside the backups, the lake, runs in MLflow, and then 'done'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from streamflow.erasure import acts, key, listed
from streamflow.erasure.acts import Asked
from streamflow.erasure.key import Key
from streamflow.errors import StreamFlowError, UsageError
from streamflow.forget import runs
from streamflow.lake import forget as lake_forget
from streamflow.lake import place
from streamflow.mlflow_api.transport import registry
from streamflow.postgres.engine import transaction
from streamflow.settings import BackupSettings, DatabaseSettings, ErasureSettings, MlflowSettings

_AGAIN = "then run 'streamflow erase' again"


@dataclass(frozen=True)
class Places:
    """Where a person's data are.

    Attributes:
        database: How to connect to PostgreSQL.
        mlflow: MLflow's server.
        backups: Folder of the backups.
        erasure: The key of the list of erasures.
        copy_list: Copies the list beside the backups to where else backups are kept.
        lake: URL of the lake that has the rows of drops; "" if PostgreSQL has them.
    """

    database: DatabaseSettings
    mlflow: MlflowSettings
    backups: Path
    erasure: ErasureSettings
    copy_list: Callable[[], None] = lambda: None
    lake: str = ""


@dataclass(frozen=True)
class Outcome:
    """What was erased, or what would be.

    Attributes:
        erasure_id: Id of the record; "" for a dry run.
        continued: Whether an erasure that was cut short was continued.
        rows: Rows, by table.
        runs: Rows of training sets, by run.
        pinned: Runs whose model files have the person's values and cannot change, because their digest is recorded.
        mentions: Rows of the trail and of other records whose text names the person, by table; they cannot change.
        left: What is left to do before the erasure is complete, one sentence each.
        notes: What else the person who asked should know.
    """

    erasure_id: str
    continued: bool
    rows: dict[str, int]
    runs: dict[str, int]
    pinned: tuple[str, ...] = ()
    mentions: dict[str, int] | None = None
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def places(
    database: DatabaseSettings,
    mlflow: MlflowSettings,
    backup: BackupSettings,
    erasure: ErasureSettings,
    copy_list: Callable[[], None] = lambda: None,
    lake: str = "",
) -> Places:
    """Where a person's data are, from the sections of the settings."""
    return Places(database, mlflow, backup.folder, erasure, copy_list, lake)


def look(places: Places, entity: str) -> Outcome:
    """Count what an erasure would remove. Changes nothing.

    Raises:
        UsageError: The key is not a possible one.
        DependencyDown: PostgreSQL or the lake does not answer.
    """
    check(entity)
    rows = acts.count(places.database, entity)
    if places.lake:
        rows |= lake_forget.count(place.opened(places.lake), entity.__eq__, entity)
    found, left = _runs(places, runs.Wanted(entity.__eq__, entity, ""))
    mentioned = acts.mentions(places.database, entity)
    return Outcome("", False, rows, found.rows, tuple(found.pinned), mentioned, tuple(left))


def erase(places: Places, entity: str, asked: Asked) -> Outcome:
    """Erase a person. If the lake or MLflow is away, the outcome says what is left to do; the same call completes it.

    Raises:
        UsageError: The key of the list is not set, or the reason contains the person's key.
        Busy: A job that could bring the rows back is running.
        DependencyDown: PostgreSQL does not answer.
    """
    check(entity)
    secret = key.required(places.erasure)
    with acts.undisturbed(places.database):
        done = acts.erase(places.database, secret, entity, asked)
        outcome = _beyond_rows(places, done.erasure_id, runs.Wanted(entity.__eq__, entity, done.erasure_id))
        rows = dict(done.counts) | outcome.rows
        # Answers that predict gave in the meantime, and logged after their entity was gone.
        if late := acts.count(places.database, entity):
            acts.erase(places.database, secret, entity, asked)
            rows = {name: rows.get(name, 0) + late.get(name, 0) for name in rows | late}
        mentioned = acts.mentions(places.database, entity)
        outcome = replace(outcome, continued=done.continued, rows=rows, mentions=mentioned)
        return _completed(places, outcome)


def complete(places: Places) -> list[Outcome]:
    """Complete erasures that were cut short. Their people are known by hash alone.

    Raises:
        UsageError: The key of the list is not set.
        Busy: A job that could bring rows back is running.
        DependencyDown: PostgreSQL does not answer.
    """
    with transaction(places.database) as connection:
        secret = listed.usable(listed.read(connection), key.optional(places.erasure))
    if secret is None:
        return []
    outcomes = []
    for entity_hash, erasure_id in acts.unfinished(places.database).items():
        with acts.undisturbed(places.database):
            wanted = runs.Wanted(_hashed(secret, entity_hash), "", erasure_id)
            outcomes.append(_completed(places, _beyond_rows(places, erasure_id, wanted)))
    return outcomes


def withdraw(places: Places, entity: str, asked: Asked) -> str:
    """Let drops bring a person again; return the id of the record. What was erased stays erased.

    Raises:
        NotFound: The person is not on the list of erasures.
        UsageError: The key of the list is not set, or the reason contains the person's key.
    """
    check(entity)
    made = acts.withdraw(places.database, key.required(places.erasure), entity, asked)
    _write_list(places)
    return made


def check(entity: str) -> None:
    """Refuse what cannot be a person's key.

    Raises:
        UsageError: It is empty, or has characters that no drop can bring.
    """
    if not entity.strip() or "\0" in entity:
        raise UsageError("This is not a user's key.", hint="Give the key as the drops write it.")


def _hashed(secret: Key, entity_hash: str) -> Callable[[str], bool]:
    return lambda entity: secret.hash(entity) == entity_hash


def _beyond_rows(places: Places, erasure_id: str, wanted: runs.Wanted) -> Outcome:
    """What follows after PostgreSQL: the list beside the backups, the lake, and the runs."""
    left = []
    try:
        _write_list(places)
    except (OSError, StreamFlowError) as error:
        why = error.what if isinstance(error, StreamFlowError) else str(error)
        left.append(
            f"The list beside the backups in {places.backups}, or its copy, was not written ({why}): mend that, {_AGAIN}."
        )
    rows, in_lake = _lake(places, wanted)
    found, more = _runs(places, wanted)
    if not more and not in_lake:
        facts = {"runs": found.rows, "pinned": found.pinned} | ({"lake": rows} if places.lake else {})
        acts.step(places.database, erasure_id, "artifacts", facts)
    return Outcome(erasure_id, False, rows, found.rows, tuple(found.pinned), None, (*left, *in_lake, *more))


def _lake(places: Places, wanted: runs.Wanted) -> tuple[dict[str, int], list[str]]:
    if not places.lake:
        return {}, []
    try:
        return lake_forget.erase(place.opened(places.lake), wanted.matches, wanted.text), []
    except StreamFlowError as error:
        return {}, [f"Files of the lake: {error.what} {error.hint} {_AGAIN.capitalize()}."]


def _runs(places: Places, wanted: runs.Wanted) -> tuple[runs.Found, list[str]]:
    try:
        with registry(places.mlflow) as client:
            found = runs.erase(places.database, places.mlflow, client, wanted)
    except StreamFlowError as error:
        return runs.Found(), [f"Training sets of runs: {error.what} {error.hint} {_AGAIN.capitalize()}."]
    return found, found.left


def _completed(places: Places, outcome: Outcome) -> Outcome:
    notes = []
    try:
        if refused := acts.vacuum(places.database):
            notes.append(
                f"Removed rows stay on disk until PostgreSQL's autovacuum has cleaned {', '.join(refused)}."
            )
    except sa.exc.DBAPIError:
        notes.append("Removed rows stay on disk until PostgreSQL's autovacuum has cleaned the tables.")
    if not outcome.left:
        facts = {"pinned": outcome.pinned, "mentions": outcome.mentions or {}}
        acts.step(places.database, outcome.erasure_id, "done", facts)
    return replace(outcome, notes=tuple(notes))


def _write_list(places: Places) -> None:
    with transaction(places.database) as connection:
        listed.write(places.backups, listed.exported(connection))
    places.copy_list()
