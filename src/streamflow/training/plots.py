"""Plot a run's holdout results, as PNG and JSON: ROC, precision and recall, calibration, confusion, importances."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from sklearn import metrics
from sklearn.calibration import calibration_curve

INK, ACCENT, PALE = "#1f2933", "#2563eb", "#cbd5e1"


def write(
    folder: Path,
    labels: npt.NDArray[np.bool_],
    probabilities: npt.NDArray[np.float64],
    threshold: float,
    importance: Mapping[str, float],
) -> None:
    """Write all plots to `folder`, each as NAME.png and as NAME.json with the plotted values.

    Args:
        folder: Folder to write to; created if missing.
        labels: True labels of the holdout rows.
        probabilities: Predicted probabilities of the holdout rows.
        threshold: Lowest probability that counts as a positive prediction.
        importance: Importance by feature, highest first; not plotted if empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _roc(folder, labels, probabilities)
    _precision_recall(folder, labels, probabilities)
    _calibration(folder, labels, probabilities)
    _confusion(folder, labels, probabilities >= threshold, threshold)
    if importance:
        _importance(folder, importance)


def _axes(title: str, x: str, y: str, left: float = 0.13) -> tuple[Figure, Any]:
    figure = Figure(figsize=(5.2, 4.4), dpi=110)
    # Fixed margins: a layout that fits them draws each figure twice.
    axes = figure.subplots(gridspec_kw={"left": left, "right": 0.96, "bottom": 0.12, "top": 0.92})
    axes.set_title(title, color=INK)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(folder: Path, name: str, figure: Figure, data: Mapping[str, Any]) -> None:
    # Without this, Matplotlib writes its own version into the PNG file.
    figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    (folder / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")


def _roc(folder: Path, labels: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64]) -> None:
    false_rate, true_rate, thresholds = metrics.roc_curve(labels, probabilities)
    area = metrics.roc_auc_score(labels, probabilities)
    figure, axes = _axes(f"ROC, AUC {area:.4f}", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=PALE, linestyle="--")
    axes.plot(false_rate, true_rate, color=ACCENT)
    # The first threshold is infinity, which JSON does not have; hence one threshold fewer than points.
    data = {"false_positive_rate": false_rate.tolist(), "true_positive_rate": true_rate.tolist()}
    _save(
        folder, "roc", figure, {**data, "thresholds": [float(t) for t in thresholds[1:]], "auc": float(area)}
    )


def _precision_recall(
    folder: Path, labels: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64]
) -> None:
    precision, recall, thresholds = metrics.precision_recall_curve(
        labels, probabilities, drop_intermediate=True
    )
    average = metrics.average_precision_score(labels, probabilities)
    figure, axes = _axes(f"Precision and recall, AP {average:.4f}", "recall", "precision")
    axes.axhline(labels.mean(), color=PALE, linestyle="--")
    axes.plot(recall, precision, color=ACCENT)
    data = {"precision": precision.tolist(), "recall": recall.tolist(), "thresholds": thresholds.tolist()}
    _save(folder, "precision_recall", figure, {**data, "average_precision": float(average)})


def _calibration(folder: Path, labels: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64]) -> None:
    observed, predicted = calibration_curve(labels, probabilities, n_bins=10)
    figure, axes = _axes("Calibration", "mean predicted probability", "observed share of positives")
    axes.plot([0, 1], [0, 1], color=PALE, linestyle="--")
    axes.plot(predicted, observed, color=ACCENT, marker="o")
    _save(folder, "calibration", figure, {"predicted": predicted.tolist(), "observed": observed.tolist()})


def _confusion(
    folder: Path, labels: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_], threshold: float
) -> None:
    matrix = metrics.confusion_matrix(labels, predicted)
    figure, axes = _axes(f"Confusion at threshold {threshold:g}", "predicted", "true")
    axes.imshow(matrix, cmap="Blues")
    axes.set_xticks([0, 1], ["stays", "event"])
    axes.set_yticks([0, 1], ["stays", "event"])
    for (row, column), count in np.ndenumerate(matrix):
        color = "white" if count > matrix.max() / 2 else INK
        axes.text(column, row, f"{count}", ha="center", va="center", color=color, fontsize=14)
    _save(folder, "confusion", figure, {"threshold": threshold, "matrix": matrix.tolist()})


def _importance(folder: Path, importance: Mapping[str, float]) -> None:
    # Matplotlib draws the first bar at the bottom; the most important feature belongs at the top.
    names = list(importance)[::-1]
    figure, axes = _axes("Feature importance", "share", "", left=_margin(names))
    axes.barh(names, [importance[name] for name in names], color=ACCENT)
    _save(folder, "importance", figure, dict(importance))


def _margin(names: list[str]) -> float:
    """Share of the figure's width that the longest of the names takes, at most half of it."""
    return min(0.5, 0.04 + 0.0155 * max(map(len, names)))
