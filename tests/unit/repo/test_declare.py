"""What a feature repo is written with, and the dictionaries that repos had before it."""

import re
import shutil
from pathlib import Path
from typing import get_args

import pandera.pandas as pa
import pytest

from streamflow import types
from streamflow.errors import UsageError
from streamflow.repo import declare, definitions, words
from streamflow.repo.declarations import source_table
from streamflow.repo.declare import Slice, Words

OTHER_REPO = Path(__file__).resolve().parents[2] / "other_repo"
FORMER_SLICES = {
    "of land": {"table": "turbines", "column": "foundation"},
    "size": {"table": "turbines", "column": "rotor_m", "bands": [50, 100]},
}


def test_a_table_is_what_a_pandera_schema_with_metadata_was():
    made = declare.table(
        "visits",
        declare.key("guest_id", pa.Check.str_length(1)),
        {
            "day": declare.column("datetime64[ns]", null="missing", not_after_as_of=True),
            "kind": declare.column("string", pa.Check.isin(["b", "a"])),
            "nights": declare.column("Int64", null="not_applicable"),
        },
        entities=True,
    )
    former = pa.DataFrameSchema(
        {
            "guest_id": pa.Column("string", pa.Check.str_length(1), nullable=False),
            "day": pa.Column(
                "datetime64[ns]", nullable=True, metadata={"null": "missing", "not_after_as_of": True}
            ),
            "kind": pa.Column("string", pa.Check.isin(["b", "a"]), nullable=False),
            "nights": pa.Column("Int64", nullable=True, metadata={"null": "not_applicable"}),
        },
        name="visits",
        unique=["guest_id"],
        strict=True,
        metadata={"snapshots": "visits_snapshots", "entities": True},
    )
    one, other = source_table(made), source_table(former)
    assert (one.name, one.key, one.columns, one.snapshots, one.entities, one.words) == (
        other.name,
        other.key,
        other.columns,
        other.snapshots,
        other.entities,
        None,
    )
    assert (made.unique, made.strict) == (former.unique, former.strict)
    assert made.columns["day"].metadata["not_after_as_of"]
    # The key, which several tables share, keeps its own checks.
    assert [check.name for check in made.columns["guest_id"].checks] == ["str_length"]


def test_a_column_may_have_every_type_that_source_tables_have():
    assert {types.of_pandas(name).name for name in get_args(declare.Dtype)} == {t.name for t in types.TYPES}


def repo_with(folder, slices):
    shutil.copytree(OTHER_REPO, folder, ignore=shutil.ignore_patterns("test_*", "__pycache__"))
    (folder / "slices.py").write_text(f"from streamflow.repo.declare import Slice\n\nSLICES = {slices}\n")
    return folder


def test_slices_are_a_list_or_the_dictionaries_of_before(tmp_path):
    listed = [
        Slice("of land", "turbines", "foundation"),
        Slice("size", "turbines", "rotor_m", bands=(50, 100)),
    ]
    assert definitions.load(repo_with(tmp_path / "new", listed)).slices == tuple(listed)
    assert definitions.load(repo_with(tmp_path / "former", FORMER_SLICES)).slices == tuple(listed)


@pytest.mark.parametrize(
    ("slices", "what"),
    [
        (
            {"of land": {"tabel": "turbines", "column": "foundation"}},
            "line 3: the slice 'of land' has no table",
        ),
        (["foundation"], "line 3: SLICES is not a list of Slice"),
        ([Slice("of land", "turbines", "colour")], "line 3: 'turbines.colour' does not exist"),
    ],
)
def test_a_slice_that_cannot_be_read_is_named(tmp_path, slices, what):
    with pytest.raises(UsageError) as refused:
        definitions.load(repo_with(tmp_path / "repo", slices))
    assert f"slices.py, {what}" in refused.value.details[0]


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("customer", "customers"),
        ("wind turbine", "wind turbines"),
        ("branch", "branches"),
        ("box", "boxes"),
        ("bus", "buses"),
        ("policy", "policies"),
        ("key", "keys"),
    ],
)
def test_a_plural_is_the_regular_one(one, many):
    assert Words(one).many == many


def test_entities_are_counted_in_the_words_of_the_repo():
    assert Words("customer").count(9379) == "9,379 customers"
    assert [Words("person", "people").count(n) for n in (0, 1, 2)] == ["0 people", "1 person", "2 people"]


@pytest.mark.parametrize(
    ("key", "many"),
    [
        ("user_id", "users"),
        ("turbine_id", "turbines"),
        ("policy_number", "policies"),
        ("id", "entities"),
        ("_id", "entities"),
        ("SENSOR", "sensors"),
    ],
)
def test_a_repo_without_words_has_those_of_its_key(key, many):
    assert words.of_key(key).many == many


def test_the_words_of_a_repo_are_those_of_the_table_with_its_entities(tmp_path):
    repo = definitions.load(OTHER_REPO)
    assert repo.words == Words("wind turbine")
    plain = repo_with(tmp_path / "plain", [])
    text = (plain / "tables.py").read_text()
    (plain / "tables.py").write_text(text.replace('Words("wind turbine")', "True"))
    assert definitions.load(plain).words.many == "turbines"


def test_the_example_in_the_documentation_declares_what_it_says():
    page = (OTHER_REPO.parents[1] / "docs" / "feature-repo.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    declared: dict = {}
    exec(compile(example, "docs/feature-repo.md", "exec"), declared)
    tables = [source_table(schema) for schema in declared["TABLES"]]
    assert [(table.name, table.snapshots, table.entities) for table in tables] == [
        ("machines", "machines_snapshots", True),
        ("readings", "readings_snapshots", False),
        ("failures", "failures_snapshots", False),
    ]
    assert [column.null for column in tables[0].columns] == ["", "not_applicable", "missing"]
    assert tables[0].words.count(9379) == "9,379 machines"
    assert declared["SLICES"] == [Slice("kind of machine", "machines", "kind")]
