"""The options of `streamflow simulate` that describe a drift."""

from pathlib import Path

import pytest

from streamflow.errors import UsageError
from streamflow.local.simulate import Simulation, parse_drift, simulate

ROOT = Path(__file__).parents[3]


def test_a_drift_has_an_amount_and_perhaps_a_first_month():
    assert parse_drift(["monthly_fee=0.2", "skips_7d=-1@4"]) == (
        {"monthly_fee": 0.2, "skips_7d": -1.0},
        {"skips_7d": 4},
        0.0,
        1,
    )


@pytest.mark.parametrize(
    "text", ["monthly_fee", "monthly_fee=", "monthly_fee=nan", "skips_7d=1@", "skips_7d=1@x"]
)
def test_a_drift_of_another_form_is_refused(text):
    with pytest.raises(UsageError, match="is not a drift") as refused:
        parse_drift([text])
    assert "monthly_fee=0.2@3" in refused.value.hint


@pytest.mark.parametrize(("text", "parsed"), [("concept=0.5", (0.5, 1)), ("concept=1@6", (1.0, 6))])
def test_a_concept_drift_is_no_drift_of_a_column(text, parsed):
    assert parse_drift([text, "skips_7d=1@2"]) == ({"skips_7d": 1.0}, {"skips_7d": 2}, *parsed)


def test_a_simulation_with_a_drift_that_begins_later_is_written(tmp_path):
    plain = simulate(ROOT / "feature_repo", tmp_path / "plain", Simulation(users=50, months=3))
    drifting = Simulation(
        50, 3, drift={"skips_7d": 1.0}, drift_from={"skips_7d": 2}, concept_drift=1, concept_from=2
    )
    moved = simulate(ROOT / "feature_repo", tmp_path / "moved", drifting)
    for file in ("usage_agg_30d.csv", "labels.csv"):
        same = [
            (one.folder / file).read_bytes() == (other.folder / file).read_bytes()
            for one, other in zip(plain, moved, strict=True)
        ]
        assert same == [True, True, False], file


def test_a_repo_whose_simulation_has_no_concept_drift_says_so(tmp_path):
    folder = tmp_path / "repo"
    folder.mkdir()
    for file in (ROOT / "tests" / "other_repo").iterdir():
        if file.is_file() and not file.name.startswith("test_"):
            (folder / file.name).write_bytes(file.read_bytes())
    (folder / "simulation.py").write_text(
        "def simulate(users, months, seed, first_as_of, drift):\n    return iter(())\n"
    )
    assert simulate(folder, tmp_path / "out", Simulation(users=1, months=1)) == []
    with pytest.raises(UsageError, match="has no concept_drift"):
        simulate(folder, tmp_path / "out", Simulation(users=1, months=1, concept_drift=0.5))
