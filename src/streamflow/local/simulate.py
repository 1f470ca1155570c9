"""Write simulated drops: CSV files as `ingest` expects them."""

from __future__ import annotations

import inspect
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from streamflow.drops.dates import FIRST_AS_OF, month_later
from streamflow.errors import UsageError
from streamflow.repo import definitions

CONCEPT = "concept"
"""Name by which `--drift` moves the mechanism behind the label instead of a column."""


@dataclass(frozen=True)
class Simulation:
    """Parameters of a simulation; equal parameters produce equal files.

    Attributes:
        users: Number of users in each drop.
        months: Number of drops, one a month.
        seed: Seed of the random generator.
        first_as_of: As-of date of the first drop.
        drift: Monthly shift of a column's distribution, by column; units in `feature_repo/simulation.py`.
        drift_from: First month with the drift of a column, counted from the first drop; 1 unless given.
        concept_drift: How far the mechanism behind the label moves towards another one, between 0 and 1.
        concept_from: First month with the concept drift, counted from the first drop.
    """

    users: int = 7000
    months: int = 6
    seed: int = 1
    first_as_of: date = FIRST_AS_OF
    drift: Mapping[str, float] = field(default_factory=dict)
    drift_from: Mapping[str, int] = field(default_factory=dict)
    concept_drift: float = 0.0
    concept_from: int = 1


@dataclass(frozen=True)
class SimulatedDrop:
    """A drop that was written.

    Attributes:
        as_of: As-of date of the drop.
        folder: Folder with its CSV files.
        rows: Number of rows in each table.
    """

    as_of: date
    folder: Path
    rows: int


def simulate(
    feature_repo: Path,
    out: Path,
    simulation: Simulation,
    *,
    overwrite: bool = False,
    written: Callable[[SimulatedDrop], None] | None = None,
) -> list[SimulatedDrop]:
    """Write `out`/<as-of>/<table>.csv for each month; a month's folder appears only once it is complete.

    Args:
        feature_repo: Folder of the feature repo, whose `simulation.py` generates the values.
        out: Folder to write into, one subfolder a month.
        simulation: Parameters of the simulation.
        overwrite: Replace existing folders instead of raising an error.
        written: Called with each drop once it is complete.

    Raises:
        UsageError: A number is out of range, a column or the mechanism cannot drift, or a folder already
            exists.
    """
    repo = definitions.load(feature_repo)
    users, months, seed = simulation.users, simulation.months, simulation.seed
    if users < 1 or months < 1 or seed < 0:
        raise UsageError(
            f"{repo.words.count(users)}, {months} months, seed {seed}: this cannot be simulated.",
            hint=f"Give at least {repo.words.count(1)} and 1 month, and a seed of 0 or more.",
        )
    draw = repo.simulate
    if draw is None:
        raise UsageError(f"The feature repo {repo.path} has no simulation.py.", hint="Ingest real drops.")
    more = _more(repo.path, draw, simulation)
    folders = [out / month_later(simulation.first_as_of, month).isoformat() for month in range(months)]
    taken = [folder for folder in folders if folder.exists()]
    if taken and not overwrite:
        raise UsageError(
            f"These folders exist already: {', '.join(str(folder) for folder in taken)}.",
            hint="Choose another folder, or give --force to replace these.",
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"The folder '{out}' cannot be made: {error.strerror}.", hint="Name one that you may write to."
        ) from error
    drops = []
    try:
        drawn = draw(users, months, seed, simulation.first_as_of, dict(simulation.drift), **more)
        for as_of, tables in drawn:
            folder = _write(out / as_of.isoformat(), tables)
            drops.append(SimulatedDrop(as_of, folder, users))
            if written is not None:
                written(drops[-1])
    except ValueError as error:
        raise UsageError(f"The simulation was refused: {error}.", hint="See --drift.") from None
    return drops


def _more(repo: Path, draw: Callable[..., object], simulation: Simulation) -> dict[str, object]:
    """The arguments that only some repos' simulations take, as far as they differ from the defaults."""
    wanted = {
        name: value
        for name in ("drift_from", "concept_drift", "concept_from")
        if (value := getattr(simulation, name)) != getattr(Simulation(), name)
    }
    if missing := sorted(set(wanted) - set(inspect.signature(draw).parameters)):
        raise UsageError(
            f"The simulation of the feature repo {repo} has no {', '.join(missing)}.",
            hint="Leave out --drift concept, and the months of --drift.",
        )
    return wanted


def _write(folder: Path, tables: Mapping[str, object]) -> Path:
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        for name, frame in tables.items():
            frame.to_csv(  # type: ignore[attr-defined]
                partial / f"{name}.csv", index=False, lineterminator="\n", chunksize=50_000
            )
        partial.chmod(0o755)  # mkdtemp creates 0700, but other users must be able to read a drop
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return folder


def parse_drift(texts: list[str]) -> tuple[dict[str, float], dict[str, int], float, int]:
    """Parse the values of `--drift`, such as `monthly_fee=0.2`, `monthly_fee=0.2@3` or `concept=0.5@3`.

    Returns:
        The amount of each column, the first month of those with one, the amount of the concept drift and its first
        month.

    Raises:
        UsageError: A value does not have the form `column=number` or `column=number@month`.
    """
    drift, since = {}, {}
    for text in texts:
        name, _, amount = text.partition("=")
        try:
            drift[name.strip()], month = _amount(amount)
        except ValueError:
            raise UsageError(
                f"'{text}' is not a drift.",
                hint="Write it like --drift monthly_fee=0.2 or --drift monthly_fee=0.2@3, once per column.",
            ) from None
        if month is not None:
            since[name.strip()] = month
    return drift, since, drift.pop(CONCEPT, 0.0), since.pop(CONCEPT, 1)


def _amount(text: str) -> tuple[float, int | None]:
    """The number and the month of `number@month`."""
    amount, at, month = text.partition("@")
    number = float(amount)
    if not math.isfinite(number):
        raise ValueError(text)
    return number, int(month) if at else None
