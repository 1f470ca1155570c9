"""Turn figures into ratios, a table for people, and results.json for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.measure import Figures

TARGETS = {
    "ingest_vs_copy_wall": ("<=", 8.0),
    "ingest_vs_copy_cpu": ("<=", 8.0),
    "train_300000_s": ("<=", 8.0),
    "stored_vs_csv": ("<=", 2.0),
    "training_set_bytes_above_data": ("<=", 200.0),
    "predict_rps_vs_ceiling": (">=", 1.3),
    "predict_linear_rps_vs_ceiling": (">=", 1.8),
    "predict_cpu_vs_ceiling": ("<=", 0.75),
    "predict_linear_cpu_vs_ceiling": ("<=", 0.5),
    "predict_p50_vs_ceiling_1": ("<=", 2.0),
    "predict_linear_p50_vs_ceiling_1": ("<=", 2.0),
    "p99_at_half_peak_ms": ("<=", 10.0),
    "predict_vs_obvious_8": (">=", 150.0),
    "features_vs_feast_serve": (">=", 30.0),
    "materialize_entities_per_s": (">=", 50_000.0),
    "score_rows_per_s": (">=", 50_000.0),
    "cold_start_s": ("<=", 1.5),
    "rss_mib": ("<=", 180.0),
    "image_predict_mb": ("<=", 150.0),
    "image_platform_mb": ("<=", 900.0),
}
"""Target of each figure, as comparison and value."""


def ratios(
    cells: dict[str, dict[int, Figures]],
    batch: dict[str, Any],
    half_peak: Figures | None = None,
    parts: dict[str, Any] | None = None,
) -> dict[str, float | None]:
    """The figures of one run that have a target; None where one was not measured.

    Args:
        cells: Medians of each contender by number of clients.
        batch: What bench/batch.py measured.
        half_peak: Latencies of predict at half of its own peak.
        parts: Documents of bench/ingest.py, train.py and stored.py, and the sizes of the images, by name.
    """
    ours, ceiling = cells["predict"], cells["ceiling"]
    made = {
        **_of_parts(parts or {}),
        **_against(ceiling, {"predict": ours, "predict_linear": cells["predict_linear"]}),
        "p99_at_half_peak_ms": half_peak["p99_ms"] if half_peak else None,
        "predict_vs_obvious_8": ours[8]["requests_per_s"] / cells["obvious"][8]["requests_per_s"],
        "features_vs_feast_serve": cells["features"][8]["requests_per_s"]
        / cells["feast_serve"][8]["requests_per_s"],
        "materialize_entities_per_s": min((m["per_s"] for m in batch["materialize"].values()), default=None),
        "score_rows_per_s": batch["score"]["per_s"] if batch["score"] else None,
        "cold_start_s": batch["cold_start_s"],
        "rss_mib": batch["rss_mib"],
    }
    return {name: None if made[name] is None else round(made[name], 3) for name in TARGETS}


def _of_parts(parts: dict[str, Any]) -> dict[str, Any]:
    ingest, train, stored, images = (parts.get(name, {}) for name in ("ingest", "train", "stored", "images"))
    a_row = train.get("set_bytes_per_row"), train.get("data_bytes_per_row")
    return {
        "ingest_vs_copy_wall": ingest.get("ingest_vs_copy_wall"),
        "ingest_vs_copy_cpu": ingest.get("ingest_vs_copy_cpu"),
        "train_300000_s": train.get("seconds") if train.get("users") == 300_000 else None,
        "stored_vs_csv": stored.get("ratio"),
        "training_set_bytes_above_data": None if None in a_row else a_row[0] - a_row[1],
        "image_predict_mb": images.get("predict"),
        "image_platform_mb": images.get("platform"),
    }


def verdict(name: str, value: float | None) -> str:
    """Whether a figure meets its target: `met`, `not met` or `not measured`. Pure."""
    sign, target = TARGETS[name]
    if value is None:
        return "not measured"
    return "met" if (value <= target if sign == "<=" else value >= target) else "not met"


def _against(ceiling: dict[int, Figures], ours: dict[str, dict[int, Figures]]) -> dict[str, float]:
    made = {}
    for name, cells in ours.items():
        for ratio, figure, clients in (
            ("rps", "requests_per_s", 64),
            ("cpu", "cpu_ms", 64),
            ("p50", "p50_ms", 1),
        ):
            end = "_1" if clients == 1 else ""
            made[f"{name}_{ratio}_vs_ceiling{end}"] = cells[clients][figure] / ceiling[clients][figure]
    return made


def table(results: dict[str, Any]) -> str:
    """Format the results as a text table."""
    lines = [
        f"{results['data']}; {results['machine']}; {results['rounds']} rounds of {results['seconds']} s, medians"
    ]
    lines.append(
        f"{'':28}{'clients':>8}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}{'PostgreSQL':>12}"
    )
    for name, contender in results["contenders"].items():
        for clients, f in contender["by_clients"].items():
            cells = [f.get(k) for k in ("requests_per_s", "p50_ms", "p99_ms", "cpu_ms", "postgres_cpu_ms")]
            shown = [
                "" if cell is None else f"{cell:,.1f}" if i == 0 else f"{cell:.2f}"
                for i, cell in enumerate(cells)
            ]
            widths = (12, 9, 9, 9, 12)
            numbers = "".join(f"{cell:>{width}}" for cell, width in zip(shown, widths, strict=True))
            lines.append(f"{contender['summary'] if contender else name:28}{clients:>8}{numbers}")
    half = results["half_peak"]
    lines.append(
        f"at half of our peak, {half['rate']:,.0f} a second: p50 {half['p50_ms']} ms, p99 {half['p99_ms']} ms"
    )
    batch = results["batch"]
    for users, f in batch["materialize"].items():
        lines.append(
            f"materialize {users:>9} users: {f['per_s']:,.0f} a second, {f['peak_mib']:.0f} MiB at most"
        )
    if batch["score"]:
        f = batch["score"]
        lines.append(
            f"score {f['entities']:>15} users: {f['per_s']:,.0f} a second, {f['peak_mib']:.0f} MiB at most"
        )
    lines.append("")
    for name, part in results.get("parts", {}).items():
        if "not_measured" in part:
            lines.append(f"bench.{name} was not measured: {part['not_measured']}")
    for name, value in results["ratios"].items():
        sign, target = TARGETS[name]
        text = "-" if value is None else f"{value:,.2f}"
        lines.append(f"{name:32}{text:>14}   target {sign} {target:>8,g}   {verdict(name, value)}")
    return "\n".join(lines)


def write(path: Path, results: dict[str, Any]) -> None:
    """Write the results as JSON."""
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
