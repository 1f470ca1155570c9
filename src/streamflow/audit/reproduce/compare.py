"""Compare a recorded run with its repetition, layer by layer, and describe the differences. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

Verdict = Literal["same", "comparable", "differs", "unknown"]
LISTED = 20
"""Differences of one kind that are listed; the rest are counted."""

# These may differ between machines without changing any digit: they are listed, but are not a difference.
_NOTES = ("env.image", "env.platform", "env.cpus", "env.threads", "env.lock")


@dataclass(frozen=True)
class Layer:
    """The verdict on one layer.

    Attributes:
        name: `data`, `code`, `environment` or `result`.
        verdict: Whether it is as recorded; `comparable` if rows were erased, and the figures without them are as good.
        lines: What differs, or what was compared, one line each.
    """

    name: str
    verdict: Verdict
    lines: tuple[str, ...] = ()


def code(
    tags: Mapping[str, str],
    present: Mapping[str, str],
    files: Mapping[str, str] | None,
    present_files: Mapping[str, str],
) -> Layer:
    """Compare source tree and feature repo, by content.

    Args:
        tags: The run's lineage tags without `streamflow.`.
        present: The lineage tags of the code that runs now.
        files: Digest of each source file of the run; None when the run recorded none.
        present_files: Digest of each source file now.
    """
    names = ("code.digest", "code.feature_repo_digest")
    if any(not tags.get(name) for name in names):
        return Layer("code", "unknown", ("The run recorded no digest of its code.",))
    lines = []
    if tags.get("code.dirty") == "true":
        lines.append("The run was made with uncommitted changes, which its commit does not contain.")
    if all(tags[name] == present[name] for name in names):
        return Layer("code", "same", tuple(lines))
    commit = tags.get("code.commit", "")
    if commit and commit != present.get("code.commit"):
        lines.append(f"commit {commit[:12]} then, {(present.get('code.commit') or 'none')[:12]} now")
    lines += _mapping_lines(files, present_files) if files is not None else ["The run lists no files."]
    return Layer("code", "differs", tuple(lines))


def _mapping_lines(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    lines = [f"{name}: changed" for name in sorted(then.keys() & now.keys()) if then[name] != now[name]]
    lines += [f"{name}: not there now" for name in sorted(then.keys() - now.keys())]
    return _cut(lines + [f"{name}: new since" for name in sorted(now.keys() - then.keys())])


def environment(
    tags: Mapping[str, str],
    present: Mapping[str, str],
    packages: Mapping[str, str] | None,
    present_packages: Mapping[str, str],
) -> Layer:
    """Compare Python, the installed packages and the linear algebra libraries.

    Args:
        tags: The run's environment tags without `streamflow.`.
        present: The environment tags of this process.
        packages: Version of each package that the run had installed; None when the run recorded none.
        present_packages: Version of each package that is installed now.
    """
    if packages is None:
        return Layer("environment", "unknown", ("The run recorded no packages.",))
    lines = []
    for name in ("env.python", "env.blas"):
        if tags.get(name) and tags[name] != present[name]:
            lines.append(f"{name.removeprefix('env.')}: {tags[name]} then, {present[name]} now")
    changed = [
        f"{name}: {version} then, {present_packages.get(name, 'not installed')} now"
        for name, version in sorted(packages.items())
        # StreamFlow itself is compared as code.
        if present_packages.get(name) != version and name != "streamflow"
    ]
    lines += _cut(changed)
    verdict: Verdict = "differs" if lines else "same"
    lines += [
        f"{name.removeprefix('env.')}: {tags[name] or 'none'} then, {present[name] or 'none'} now (harmless by itself)"
        for name in _NOTES
        if name in tags and tags[name] != present.get(name)
    ]
    return Layer("environment", verdict, tuple(lines))


def threads(then: int | None, now: int) -> tuple[str, ...]:
    """A line when training used another number of threads: harmless, because trees are summed in a fixed order."""
    if then is None or then == now:
        return ()
    return (f"training.threads: {then} then, {now} now (harmless by itself)",)


def rows(key: str, stored: pd.DataFrame, rebuilt: pd.DataFrame) -> list[str]:
    """Which rows of a training set differ, by key.

    Args:
        key: Name of the key column.
        stored: The training set that the run stored.
        rebuilt: The training set built again now.
    """
    then, now = (frame.astype({key: object}).set_index(key) for frame in (stored, rebuilt))
    gone = [str(item) for item in then.index.difference(now.index)]
    new = [str(item) for item in now.index.difference(then.index)]
    lines = []
    if gone:
        lines.append(f"{len(gone)} rows are missing now: {_listed(gone)}")
    if new:
        lines.append(f"{len(new)} rows are new: {_listed(new)}")
    lines += [f"column {name}: not there now" for name in then.columns.difference(now.columns)]
    lines += [f"column {name}: new since" for name in now.columns.difference(then.columns)]
    both = then.index.intersection(now.index)
    for name in then.columns.intersection(now.columns):
        a, b = then.loc[both, name], now.loc[both, name]
        unequal = ~((a == b) | (a.isna() & b.isna())).to_numpy(dtype=bool)
        if unequal.any():
            keys = [str(item) for item in both[unequal]]
            first = f"{a[unequal].iloc[0]} then, {b[unequal].iloc[0]} now"
            lines.append(f"{name} differs in {len(keys)} rows (the first: {first}): {_listed(keys)}")
    return lines


def result(
    metrics: Mapping[str, float],
    again: Mapping[str, float],
    golden: Sequence[float],
    golden_again: npt.NDArray[np.float64],
) -> Layer:
    """Compare figures on the holdout and probabilities of the golden rows, to the last bit.

    Args:
        metrics: The run's metrics.
        again: Metrics of the repetition.
        golden: The run's probabilities of the golden rows.
        golden_again: Probabilities of the golden rows from the repetition.
    """
    lines = [
        f"{name}: {metrics[name]!r} then, {value!r} now"
        for name, value in sorted(again.items())
        if name in metrics and metrics[name] != value
    ]
    unknown = sorted(set(again) - set(metrics))
    lines += [f"{name}: not recorded then, {again[name]!r} now" for name in unknown]
    then = np.asarray(golden, dtype=np.float64)
    unequal = then != golden_again
    if unequal.any():
        largest = float(np.abs(then - golden_again).max())
        lines.append(f"{int(unequal.sum())} of {len(then)} golden rows differ, by up to {largest:.3g}")
    if lines:
        return Layer("result", "differs", tuple(lines))
    return Layer(
        "result", "same", (f"{len(again)} figures and {len(then)} golden rows are equal to the last bit",)
    )


def without_erased(
    metrics: Mapping[str, float], again: Mapping[str, float], positives: int, negatives: int
) -> Layer:
    """Compare the figures of a run with those of a training that lacks erased rows, on a holdout that lacks them too.

    Fewer rows give another split and another model, so nothing is equal to the last bit. What can be said is whether
    the AUC lies within its sampling error (Hanley and McNeil 1982), three standard errors of the difference.

    Args:
        metrics: The run's metrics.
        again: Metrics of the training without the erased rows.
        positives: Positive rows of the holdout.
        negatives: Negative rows of the holdout.
    """
    lines = [
        f"{name}: {metrics[name]!r} then, {value!r} without them"
        for name, value in sorted(again.items())
        if name in metrics
    ]
    then, now = metrics.get("auc"), again.get("auc")
    if then is None or now is None or not positives or not negatives:
        return Layer("result", "unknown", ("The run recorded no AUC to compare.", *lines))
    allowed = 3 * math.sqrt(2) * auc_error(then, positives, negatives)
    inside = abs(then - now) <= allowed
    said = f"the AUC {'lies' if inside else 'does not lie'} within {allowed:.4f} of the recorded one, its sampling error"
    return Layer(
        "result", "comparable" if inside else "unknown", (f"Trained without the erased rows: {said}.", *lines)
    )


def auc_error(auc: float, positives: int, negatives: int) -> float:
    """Standard error of an AUC. Pure."""
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc * auc) + (negatives - 1) * (q2 - auc * auc)
    return math.sqrt(max(variance, 0.0) / (positives * negatives))


def hyperparameters(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The estimator's parameters that changed, one line each."""
    return [
        f"estimator.{key}: {then.get(key, 'not set')} then, {now.get(key, 'not set')} now"
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key) and not key.endswith("n_jobs")
    ]


def exit_code(layers: Sequence[Layer]) -> int:
    """0 reproduced, 1 differs, 4 cannot tell: data and result decide; code and environment explain why."""
    decisive = [layer.verdict for layer in layers if layer.name in ("data", "result")]
    if "differs" in decisive:
        return 1
    return 4 if "unknown" in decisive else 0


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
    return ", ".join(items[:LISTED]) + more


def _cut(lines: list[str]) -> list[str]:
    return lines[:LISTED] + ([f"and {len(lines) - LISTED} more"] if len(lines) > LISTED else [])
