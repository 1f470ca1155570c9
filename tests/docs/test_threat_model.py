"""docs/threat-model.md says of each role and of MLflow's clients what the code says."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from streamflow.schema.functions import CALLERS
from streamflow.schema.roles import MLFLOW, ROLES, Role

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "streamflow"
PAGE = ROOT / "docs" / "threat-model.md"
_NAME = re.compile(r"`([a-z_]+)`")


def table(heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, without its head."""
    lines = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].splitlines()
    below = itertools.dropwhile(lambda line: not line.startswith("|"), lines)
    rows = list(itertools.takewhile(lambda line: line.startswith("|"), below))
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def changes(name: str, role: Role) -> set[str]:
    """Schemas that a role owns or adds to as a whole, and other tables that it adds to, itself or through a function."""
    changed = set(role.creates) | ({"promotions"} if name in CALLERS["append_promotion"] else set())
    for privileges, schema, tables in role.grants:
        if {"INSERT", "UPDATE", "DELETE"} & set(privileges.split(", ")) and tables is not None:
            changed |= {schema} if tables == "*" else set(tables)
    return changed


def clients_of_mlflow() -> set[str]:
    facts: Mapping[str, Mapping[str, object]] = yaml.safe_load(
        (CHART / "components.yaml").read_text("utf-8")
    )["components"]
    jobs = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in (CHART / "jobs").glob("*.yaml")}
    return {name for name, own in {**facts, **jobs}.items() if "mlflow" in own["talksTo"]}


def test_every_role_has_its_row():
    assert [_NAME.findall(row[0]) for row in table("PostgreSQL roles")] == [[name] for name in ROLES]


@pytest.mark.parametrize("name", sorted(set(ROLES) - {MLFLOW}))
def test_the_row_of_a_role_names_all_that_it_can_change(name):
    [row] = [row for row in table("PostgreSQL roles") if row[0] == f"`{name}`"]
    assert set(_NAME.findall(row[1])) == changes(name, ROLES[name])


def test_only_owners_may_update_or_delete():
    """The page says so; materialize owns the online tables, which it swaps."""
    owners = {"owner", "feast_apply", "materialize"}
    for name in set(ROLES) - owners:
        granted = {word for privileges, _, _ in ROLES[name].grants for word in privileges.split(", ")}
        assert granted <= {"USAGE", "SELECT", "INSERT", "MAINTAIN"}, name


def test_every_client_of_mlflow_is_named():
    named = {name for row in table("Who reaches MLflow") for name in _NAME.findall(row[0])}
    assert named - {"port"} == clients_of_mlflow()


def test_the_administrators_password_is_where_the_page_says():
    """`restore` alone of the jobs logs in as the administrator."""
    jobs = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in (CHART / "jobs").glob("*.yaml")}
    assert {name for name, own in jobs.items() if own["databaseRole"] == "admin"} == {"restore"}
