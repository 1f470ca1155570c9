"""Remove an entity's rows from the training sets that runs stored in MLflow."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field

from streamflow.erasure import runs as records
from streamflow.erasure.runs import LeftOfRun
from streamflow.mlflow_api.transport import RegistryClient
from streamflow.model_version import files
from streamflow.model_version.contract import Contract
from streamflow.postgres.engine import transaction
from streamflow.settings import DatabaseSettings, MlflowSettings
from streamflow.training import erased

_READ_AS_TEXT = (".json", ".csv", ".txt", ".html", ".md", ".yaml", ".svg")


@dataclass
class Found:
    """What was found about an entity in the runs.

    Attributes:
        rows: Number of rows of its training set, by run.
        pinned: Runs of which the model's golden rows have the entity's values, pinned by the model's manifest.
        left: Files that have the entity and cannot be changed here, one sentence each.
    """

    rows: dict[str, int] = field(default_factory=dict)
    pinned: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wanted:
    """Whom to look for.

    Attributes:
        matches: Whether a key is the entity's.
        text: The entity's key, to be searched in texts; "" if only its hash is known.
        erasure_id: The erasure to record what is left under; "" only counts.
    """

    matches: Callable[[str], bool]
    text: str
    erasure_id: str


def erase(
    database: DatabaseSettings, mlflow: MlflowSettings, client: RegistryClient, wanted: Wanted
) -> Found:
    """Remove an entity from the training set of every run of this install, or count its rows.

    A killed erasure is repeated: what is left is recorded before a file is replaced, and recorded once.

    Raises:
        DependencyDown: PostgreSQL or MLflow does not answer, or MLflow does not allow the account to write files.
    """
    found = Found()
    folders = client.run_folders(mlflow.experiment, mlflow.registered_model)
    for run_id, folder in folders.items():
        _erase_run(database, client, wanted, run_id, folder, found)
    return found


def _erase_run(
    database: DatabaseSettings, client: RegistryClient, wanted: Wanted, run_id: str, folder: str, found: Found
) -> None:
    paths = {path.removeprefix(f"{folder}/"): path for path in client.listed(folder)}
    rows, split = (f"{files.TRAINING_SET}/{name}" for name in (files.ROWS, files.SPLIT))
    contract = f"{files.MODEL}/{files.CONTRACT}"
    if {rows, split, contract} <= paths.keys():
        left = erased.without(
            Contract.from_json(content(client, paths[contract]).decode()),
            content(client, paths[rows]),
            content(client, paths[split]),
            wanted.matches,
        )
        if left is not None:
            golden = paths.get(f"{files.MODEL}/{files.GOLDEN}")
            is_pinned = golden is not None and erased.pinned(content(client, golden), left)
            found.rows[run_id] = left.gone
            found.pinned += [run_id] if is_pinned else []
            if wanted.erasure_id:
                with transaction(database) as connection:
                    # First the record: without it, a gap would look as if somebody had tampered with the rows.
                    remains = LeftOfRun(left.gone, left.fingerprint, left.split_digest)
                    records.record(connection, wanted.erasure_id, run_id, remains, pinned=is_pinned)
                # The rows last: as long as they are the old ones, whoever reads them sees that something is left to do.
                for path, left_there in ((paths[split], left.split), (paths[rows], left.rows)):
                    client.upload(path, io.BytesIO(left_there), len(left_there))
    elif rows in paths or split in paths:
        found.left.append(
            f"Run {run_id} was cut short while it stored its training set: delete the run and its files in MLflow."
        )
    if wanted.text:
        found.left += _mentions(client, wanted.text, run_id, paths)


def _mentions(client: RegistryClient, text: str, run_id: str, paths: dict[str, str]) -> list[str]:
    """Name the other files of a run whose text has the entity's key as a word of its own."""
    sentences = []
    for name, path in sorted(paths.items()):
        if name.endswith(_READ_AS_TEXT) and f'"{text}"' in content(client, path).decode("utf-8", "replace"):
            sentences.append(f"Run {run_id}: the file {name} names this person. Delete it in MLflow.")
    return sentences


def content(client: RegistryClient, path: str) -> bytes:
    """The content of a file of the artifact store."""
    target = io.BytesIO()
    client.download(path, target)
    return target.getvalue()
