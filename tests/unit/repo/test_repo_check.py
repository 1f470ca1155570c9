"""Every mistake in a feature repo is found before anything runs, with the file and the line to correct."""

import shutil
from pathlib import Path

import pytest

from streamflow.errors import UsageError
from streamflow.repo import check, definitions

OTHER_REPO = Path(__file__).resolve().parents[2] / "other_repo"
ESTIMATORS, KEY = ("small_forest",), "turbine_id"
MISTAKES = {
    "label column": ("label.py", '"failed"', '"broken"', "has no column 'broken'; columns: failed"),
    "label type": ("label.py", '"failed"', '"icing"', "has no column 'icing'"),
    "label table": ("label.py", '"failures"', '"failure"', "there is no table 'failure'"),
    "label without a name": ("label.py", "COLUMN =", "COLUMNS =", "it has no COLUMN"),
    "horizon": ("label.py", "HORIZON = 1", "HORIZON = -1", "give 0 or more drops"),
    "service": ("label.py", '"failure_v3"', '"failure_v4"', "there are: failure_v3"),
    "null label": (
        "tables.py",
        '"failed": column("boolean")',
        '"failed": column("boolean", null="missing")',
        "may be null",
    ),
    "no snapshots": ("tables.py", '"sensor_snapshots"', '""', "the table 'sensors' names no snapshots"),
    "dtype": (
        "tables.py",
        '"hot_starts": column("Int64"',
        '"hot_starts": column("int32"',
        "type int32",
    ),
    "null meaning": ("tables.py", 'null="not_applicable"', 'null="none"', "says null='none'"),
    "reserved": ("tables.py", '"icing"', '"as_of"', "a column that every source table has"),
    "composite key": (
        "tables.py",
        "TABLES = [",
        """import pandera.pandas as pa
TWO = pa.DataFrameSchema(
    {"turbine_id": TURBINE, "icing": column("boolean")},
    name="two", unique=["turbine_id", "icing"], metadata={"snapshots": "two_snapshots"},
)
TABLES = [TWO,""",
        "keys of several columns are not supported",
    ),
    "entity's words": ("tables.py", 'Words("wind turbine")', '"turbine"', "give True, or Words"),
    "no entities": (
        "tables.py",
        '        entities=Words("wind turbine"),',
        "",
        "0 tables have entities=True",
    ),
    "snapshots": ("tables.py", '"sensor_snapshots"', '"sensors"', "'strain_fv' reads 'sensor_snapshots'"),
    "missing column": ("feature_views.py", '"icing"', '"ice"', "'strain_fv:ice' is not a column"),
    "type": (
        "feature_views.py",
        '"icing", dtype=Bool',
        '"icing", dtype=Int64',
        "the column 'sensors.icing' bool",
    ),
    "join key": ("entities.py", '"turbine_id"', '"id"', "the entity's join key is 'id'"),
    "two entities": (
        "entities.py",
        "turbine = Entity(",
        'park = Entity(name="park", value_type=ValueType.STRING)\nturbine = Entity(',
        "it defines 2 entities",
    ),
    "categories": (
        "tables.py",
        'pa.Check.isin(["land", "monopile", "floating"])',
        "pa.Check.str_length(1)",
        "'design_fv:foundation' is a string without categories",
    ),
    "same feature": (
        "feature_views.py",
        '"hot_starts", dtype=Int64',
        '"vibration_mm_s", dtype=Float64',
        "two features",
    ),
    "estimator": ("estimator.py", '{"small_forest"', '{"forest"', "names 'small_forest', which it lacks"),
}
ON_ITS_LINE = (
    "label column",
    "label table",
    "service",
    "horizon",
    "missing column",
    "type",
    "dtype",
    "null meaning",
    "null label",
    "two entities",
    "join key",
)


@pytest.fixture
def repo(tmp_path):
    folder = tmp_path / "repo"
    shutil.copytree(OTHER_REPO, folder, ignore=shutil.ignore_patterns("test_*", "__pycache__"))
    return folder


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_with_its_place(repo, name):
    file, right, wrong, what = MISTAKES[name]
    text = (repo / file).read_text()
    assert right in text
    (repo / file).write_text(text.replace(right, wrong, 1))
    found = check.check(repo, ESTIMATORS, KEY)
    problem = next(problem for problem in found if what in problem.what)
    if name in ON_ITS_LINE:
        line = text[: text.index(right)].count("\n") + 1 + wrong.count("\n")
        assert str(problem).startswith(f"{problem.file}, line {line}: "), problem


def test_a_repo_in_order_has_no_problem_but_settings_that_do_not_fit(repo):
    assert check.check(repo, ESTIMATORS, KEY) == []
    (problem,) = check.check(repo, ESTIMATORS, "user_id")
    assert "STREAMFLOW_PREDICT__JOIN_KEY is 'user_id'" in problem.what


def test_mistakes_in_tables_and_in_views_are_found_together(repo):
    for file, right, wrong in (
        ("label.py", '"failed"', '"broken"'),
        ("feature_views.py", '"icing"', '"ice"'),
    ):
        (repo / file).write_text((repo / file).read_text().replace(right, wrong))
    assert [problem.file for problem in check.check(repo, ESTIMATORS, KEY)] == [
        "label.py",
        "feature_views.py",
    ]


def test_what_loads_a_repo_refuses_it_for_the_same_reasons(repo):
    (repo / "label.py").write_text((repo / "label.py").read_text().replace('"failed"', '"broken"'))
    with pytest.raises(UsageError) as refused:
        definitions.load(repo)
    assert refused.value.details == tuple(map(str, check.check(repo, ESTIMATORS, KEY)))
    assert "features check" in refused.value.hint
