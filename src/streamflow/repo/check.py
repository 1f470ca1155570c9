"""Check a whole feature repo without a database: what it defines, and the settings that must fit it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamflow.repo import definitions
from streamflow.repo.definitions import FeatureRepo, UnfitRepoError
from streamflow.repo.problems import Problem

ESTIMATORS, JOIN_KEY = "STREAMFLOW_TRAINING__ESTIMATORS", "STREAMFLOW_PREDICT__JOIN_KEY"


def check(path: Path, candidates: Sequence[str], join_key: str) -> list[Problem]:
    """Return every problem of a feature repo; no problem means that it can be applied.

    Args:
        path: Folder of the repo.
        candidates: Names of the estimators that a training chooses from, from the settings.
        join_key: Join key that predict asks for, from the settings.

    Raises:
        UsageError: The folder is not a feature repo, or one of its files cannot be imported.
    """
    try:
        repo = definitions.load(path)
    except UnfitRepoError as error:
        # Feast's definitions can be compared with tables that can be read.
        return [*error.problems, *(definitions.feast_problems(error.repo) if error.repo else ())]
    found = definitions.feast_problems(repo)
    return found or [*_of_estimators(repo, candidates), *_of_join_key(repo, join_key)]


def _of_estimators(repo: FeatureRepo, candidates: Sequence[str]) -> list[Problem]:
    known = repo.estimators
    return [
        Problem(
            "estimator.py", None, f"{ESTIMATORS} names '{name}', which it lacks; it has: {', '.join(known)}"
        )
        for name in candidates
        if name not in known
    ]


def _of_join_key(repo: FeatureRepo, join_key: str) -> list[Problem]:
    if join_key == repo.join_key:
        return []
    what = f"the entity's join key is '{repo.join_key}', and {JOIN_KEY} is '{join_key}'; make them equal"
    return [Problem("entities.py", None, what)]
