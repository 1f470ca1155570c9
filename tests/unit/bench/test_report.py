"""Figures of a run -> ratios, table, JSON; and the medians under them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
KEYS = {
    "predict_rps_vs_ceiling",
    "predict_linear_rps_vs_ceiling",
    "predict_cpu_vs_ceiling",
    "predict_linear_cpu_vs_ceiling",
    "predict_p50_vs_ceiling_1",
    "predict_linear_p50_vs_ceiling_1",
    "predict_vs_obvious_8",
    "features_vs_feast_serve",
    "materialize_entities_per_s",
    "score_rows_per_s",
    "cold_start_s",
    "rss_mib",
    "ingest_vs_copy_wall",
    "ingest_vs_copy_cpu",
    "train_300000_s",
    "stored_vs_csv",
    "training_set_bytes_above_data",
    "p99_at_half_peak_ms",
    "image_predict_mb",
    "image_platform_mb",
}
PARTS = {
    "ingest": {"users": 300_000, "ingest_vs_copy_wall": 9.0, "ingest_vs_copy_cpu": 7.5},
    "train": {"users": 300_000, "seconds": 7.9, "set_bytes_per_row": 300.0, "data_bytes_per_row": 120.0},
    "stored": {"not_measured": "it did not end within 300 s"},
    "images": {"predict": 149.0, "platform": None},
}


@pytest.fixture(scope="module", autouse=True)
def _bench_importable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT), *sys.path])
        yield


def _cell(rate: float, p50: float, cpu: float) -> dict[str, Any]:
    return {"requests_per_s": rate, "p50_ms": p50, "p99_ms": 3 * p50, "cpu_ms": cpu}


CELLS = {
    "ceiling": {1: _cell(1000, 0.5, 0.2), 64: _cell(3000, 20, 0.1)},
    "predict": {1: _cell(500, 1.25, 0.9), 8: _cell(900, 8, 0.5), 64: _cell(2100, 30, 0.15)},
    "predict_linear": {1: _cell(700, 1, 0.3), 64: _cell(6000, 10, 0.05)},
    "obvious": {8: _cell(6, 900, 90)},
    "features": {8: _cell(800, 9, 0.6)},
    "feast_serve": {8: _cell(80, 99, 9)},
}
BATCH = {
    "materialize": {
        "100000": {"per_s": 70_000.0, "peak_mib": 200},
        "1000000": {"per_s": 60_000.0, "peak_mib": 201},
    },
    "score": {"per_s": 51_000.0, "entities": 1_000_000, "peak_mib": 480},
    "cold_start_s": 2.5,
    "rss_mib": 220.0,
}


def test_ratios_are_ours_over_theirs_from_the_same_number_of_clients() -> None:
    from bench import report

    made = report.ratios(CELLS, BATCH)
    assert set(made) == KEYS == set(report.TARGETS)
    assert made["predict_rps_vs_ceiling"] == 0.7
    assert made["predict_linear_rps_vs_ceiling"] == 2
    assert made["predict_linear_cpu_vs_ceiling"] == 0.5
    assert made["predict_linear_p50_vs_ceiling_1"] == 2
    assert made["predict_cpu_vs_ceiling"] == 1.5
    assert made["predict_p50_vs_ceiling_1"] == 2.5
    assert made["predict_vs_obvious_8"] == 150
    assert made["features_vs_feast_serve"] == 10
    assert made["materialize_entities_per_s"] == 60_000, "the slowest size counts"


def test_a_run_without_the_batch_part_leaves_those_ratios_empty() -> None:
    from bench import report

    made = report.ratios(CELLS, {**BATCH, "materialize": {}, "score": None})
    assert made["materialize_entities_per_s"] is None
    assert made["score_rows_per_s"] is None


def test_figures_that_were_measured_apart_are_judged_beside_the_others() -> None:
    from bench import report

    made = report.ratios(CELLS, BATCH, {"p99_ms": 9.5}, PARTS)
    assert {name: report.verdict(name, made[name]) for name in sorted(KEYS - {"rss_mib"})} == {
        "cold_start_s": "not met",
        "features_vs_feast_serve": "not met",
        "image_platform_mb": "not measured",
        "image_predict_mb": "met",
        "ingest_vs_copy_cpu": "met",
        "ingest_vs_copy_wall": "not met",
        "materialize_entities_per_s": "met",
        "p99_at_half_peak_ms": "met",
        "predict_cpu_vs_ceiling": "not met",
        "predict_linear_cpu_vs_ceiling": "met",
        "predict_linear_p50_vs_ceiling_1": "met",
        "predict_linear_rps_vs_ceiling": "met",
        "predict_p50_vs_ceiling_1": "not met",
        "predict_rps_vs_ceiling": "not met",
        "predict_vs_obvious_8": "met",
        "score_rows_per_s": "met",
        "stored_vs_csv": "not measured",
        "train_300000_s": "met",
        "training_set_bytes_above_data": "met",
    }


def test_a_measurement_that_is_absent_or_fails_stops_no_other() -> None:
    from bench import parts

    assert parts.figures_of("absent", 1) == {"not_measured": "there is no bench/absent.py"}
    assert "not_measured" in parts.figures_of("load", 1), "it takes other arguments"


def test_a_line_is_fitted_through_the_steps_that_ended() -> None:
    from bench import rows

    steps: dict[str, Any] = {
        str(n): {"rows": n, "seconds": 2 + n / 50_000, "cpu_seconds": cpu, "postgres_cpu_seconds": 1.0}
        for n, cpu in ((100_000, 1.0), (300_000, 3.0), (1_000_000, 9.0))
    }
    steps["3000000"] = {"failed": "Killed"}
    line = rows.line(steps)
    assert line is not None
    assert 0.99 < line.pop("cpu_r2") < 1, "CPU has a line of its own"
    assert line == {"seconds_a_million": 20.0, "seconds_at_0": 2.0, "r2": 1.0}
    assert rows.line({"1": steps["100000"], "2": steps["3000000"]}) is None
    steps["100000"] |= {"peak_mib": 5000.0, "postgres_peak_mib": 100.0}
    document = {"steps": {"ingest": {n: steps[n] for n in ("100000", "3000000")}}, "lines": {"ingest": None}}
    text = rows.table(document)
    assert "not possible: Killed" in text
    assert "5,000.0       100.0   not met" in text


def test_the_table_names_every_contender_and_every_ratio_and_json_holds_the_same(tmp_path: Path) -> None:
    from bench import report

    results = {
        "machine": "a machine",
        "data": "some data",
        "rounds": 3,
        "seconds": 4.0,
        "contenders": {
            name: {"summary": f"contender {name}", "by_clients": by} for name, by in CELLS.items()
        },
        "half_peak": {"rate": 1000, "p50_ms": 3, "p99_ms": 9},
        "batch": BATCH,
        "parts": PARTS,
        "ratios": report.ratios(CELLS, BATCH, parts=PARTS),
    }
    text = report.table(results)
    for word in (*KEYS, *(f"contender {name}" for name in CELLS)):
        assert word in text
    assert "bench.stored was not measured: it did not end within 300 s" in text
    report.write(tmp_path / "results.json", results)
    assert json.loads((tmp_path / "results.json").read_text())["ratios"] == results["ratios"]


def test_one_noisy_round_does_not_move_a_median() -> None:
    from bench import measure

    rounds = [_cell(1000, 5, 0.3), _cell(20, 400, 0.4), _cell(1010, 6, 0.31)]
    middle = measure.medians(rounds)
    assert (middle["requests_per_s"], middle["p50_ms"], middle["cpu_ms"]) == (1000, 6, 0.31)
    assert middle["rounds"] == [1000, 20, 1010]


def test_contenders_that_disagree_are_named() -> None:
    from bench import agreement

    assert agreement.difference({"predict": [0.1, 0.2], "obvious": [0.1, 0.2000001]}) is None
    assert "User 1: predict answers 0.2, obvious" in str(
        agreement.difference({"predict": [0.1, 0.2], "obvious": [0.1, 0.21]})
    )
    assert agreement.difference({"predict": [0.1], "obvious": [float("nan")]}) is not None
    assert agreement.probability("mlflow_serve", {"predictions": [{"probability": 0.25}]}) == 0.25


def test_the_machine_is_described_without_its_name() -> None:
    import platform

    from bench.__main__ import machine

    assert "cores" in machine()
    assert "Python 3" in machine()
    assert not platform.node() or platform.node() not in machine()
