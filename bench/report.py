"""Turn figures into ratios, a table for people, and results.json for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.measure import Figures

TARGETS = {
    "predict_rps_vs_ceiling": (">=", 1.3),
    "predict_linear_rps_vs_ceiling": (">=", 1.8),
    "predict_cpu_vs_ceiling": ("<=", 0.75),
    "predict_linear_cpu_vs_ceiling": ("<=", 0.5),
    "predict_p50_vs_ceiling_1": ("<=", 2.0),
    "predict_linear_p50_vs_ceiling_1": ("<=", 2.0),
    "predict_vs_obvious_8": (">=", 150.0),
    "features_vs_feast_serve": (">=", 30.0),
    "materialize_entities_per_s": (">=", 50_000.0),
    "score_rows_per_s": (">=", 50_000.0),
    "cold_start_s": ("<=", 3.0),
    "rss_mib": ("<=", 250.0),
}
"""Target of each ratio, as comparison and value; None if it has no target."""


def ratios(cells: dict[str, dict[int, Figures]], batch: dict[str, Any]) -> dict[str, float | None]:
    """The ratios of one run; None where a figure was not measured."""
    ours, ceiling = cells["predict"], cells["ceiling"]
    made = {
        **_against(ceiling, {"predict": ours, "predict_linear": cells["predict_linear"]}),
        "predict_vs_obvious_8": ours[8]["requests_per_s"] / cells["obvious"][8]["requests_per_s"],
        "features_vs_feast_serve": cells["features"][8]["requests_per_s"]
        / cells["feast_serve"][8]["requests_per_s"],
        "materialize_entities_per_s": min((m["per_s"] for m in batch["materialize"].values()), default=None),
        "score_rows_per_s": batch["score"]["per_s"] if batch["score"] else None,
        "cold_start_s": batch["cold_start_s"],
        "rss_mib": batch["rss_mib"],
    }
    return {name: None if value is None else round(value, 3) for name, value in made.items()}


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
    for name, value in results["ratios"].items():
        sign, target = TARGETS[name]
        wanted = f"   target {sign} {target:,g}" if target is not None else ""
        lines.append(f"{name:28}{'-' if value is None else f'{value:,.2f}':>14}{wanted}")
    return "\n".join(lines)


def write(path: Path, results: dict[str, Any]) -> None:
    """Write the results as JSON."""
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
