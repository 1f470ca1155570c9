"""Drift, quality and harm read the same from the files of a lake as from PostgreSQL's tables."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from streamflow.apply import apply
from streamflow.drops import ledger
from streamflow.errors import Refused
from streamflow.features.training_set import feature_schema
from streamflow.jobs.ingest import ingest_folder
from streamflow.local.simulate import Simulation, simulate
from streamflow.model_version.contract import Contract
from streamflow.monitoring.drift import read as drift
from streamflow.monitoring.quality import read as quality
from streamflow.monitoring.quality.months import ESTIMATED, Drop, Released, Scored, Task
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.settings import LakeSettings
from streamflow.snapshots import history
from streamflow.times import midnight

pytestmark = pytest.mark.postgres
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def deliveries(module_settings, tmp_path_factory):
    """Three months of drops, and a correction of the second: another user's values, for two thirds of the users."""
    folder = tmp_path_factory.mktemp("months")
    drops = simulate(module_settings.feast.repo, folder / "drops", Simulation(users=300, months=3, seed=5))
    corrected = shutil.copytree(drops[1].folder, folder / "corrected")
    for file in corrected.glob("*.csv"):
        head, *lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        keys, values = zip(*(line.split(",", 1) for line in lines), strict=True)
        moved = [f"{key},{value}" for key, value in zip(keys, values[1:] + values[:1], strict=True)]
        file.write_text(head + "".join(moved[: len(moved) * 2 // 3]), encoding="utf-8")
    return [*((drop.folder, drop.as_of) for drop in drops), (corrected, drops[1].as_of)]


@pytest.fixture(scope="module")
def of_tables(module_settings, deliveries):
    """Settings of a database that has the rows."""
    return filled(module_settings, deliveries)


@pytest.fixture
def of_lake(settings, deliveries, tmp_path):
    """Settings of a database whose rows are in a lake."""
    lake = LakeSettings(url=str(tmp_path / "lake"))
    return filled(settings.model_copy(update={"engine": "spark", "lake": lake}), deliveries)


def filled(settings, deliveries):
    apply(settings)
    for folder, as_of in deliveries:
        ingest_folder(settings, folder, as_of)
    return settings


def contract(repo):
    features, views = feature_schema(repo)
    label = {"table": repo.label_table.name, "column": repo.label.column}
    return Contract("m", "s", repo.join_key, features, views, 0.5, label, "e", "", "", "")


def moments(settings):
    """As-of of the corrected month, and the load times of all drops."""
    with transaction(settings.database) as connection:
        found = ledger.entries(connection)
    months = sorted({midnight(drop.as_of) for drop in found})
    return months, sorted(drop.loaded_at for drop in found)


def test_the_features_of_a_month_are_the_same_before_and_after_its_correction(of_tables, of_lake):
    repo = definitions.load(of_tables.feast.repo)
    counted = []
    for made in (of_tables, of_lake):
        months, loaded = moments(made)
        with transaction(made.database) as connection:
            counted.append(
                [
                    drift.month(connection, repo, contract(repo), as_of, known_at, made.rows_in_lake)
                    for as_of in (*months, months[-1] + timedelta(days=31))
                    for known_at in (loaded[0] - timedelta(days=1), *loaded)
                ]
            )
    assert len(counted[0]) == 4 * 5
    assert sorted({month.rows for month in counted[0]}) == [0, 300]
    for expected, found in zip(*counted, strict=True):
        assert found.rows == expected.rows
        assert {name: plain(column) for name, column in found.columns.items()} == {
            name: plain(column) for name, column in expected.columns.items()
        }
    before, after = (plain(counted[0][5 + at].columns["watch_hours_30d"]) for at in (3, 4))
    assert before != after


def plain(column):
    found = column.values
    pairs = found if isinstance(found, dict) else (found.values.tolist(), found.counts.tolist())
    return pairs, column.absent


def test_scores_stand_beside_the_same_labels_and_slices(of_tables, of_lake):
    repo = definitions.load(of_tables.feast.repo)
    assert repo.slices
    users = history.read(of_tables.database, repo.entity_table).column(0).unique().to_pylist()
    found = []
    for made in (of_tables, of_lake):
        months, loaded = moments(made)
        scored = Scored(1, months[1], loaded[-1], "drop", 7)
        released = Released("", contract(repo))
        with transaction(made.database) as connection:
            statement = "INSERT INTO streamflow.scores VALUES (7, :entity, :probability, :prediction)"
            rows = [
                {"entity": entity, "probability": at / 1000, "prediction": at % 2 == 0}
                for at, entity in enumerate([*sorted(users), "nobody"])
            ]
            connection.execute(sa.text(statement), rows)
            for labels in (None, Drop(months[2], "labels", loaded[-1])):
                task = Task(scored, released, labels, (ESTIMATED,))
                found.append(in_order(quality.scores(connection, repo, task, (), LATER, made.rows_in_lake)))
    assert found[:2] == found[2:]
    without, with_labels = found[:2]
    assert len(without["probabilities"]) == len(users) + 1
    assert not any(without["labelled"])
    assert sum(with_labels["labelled"]) == 300
    assert any(with_labels["labels"])
    assert all(len(set(parts)) > 1 for name, parts in without.items() if name.startswith("slice"))


def in_order(scores):
    """The scores as plain lists, in the order of the probabilities, which are distinct."""
    order = np.argsort(scores.probabilities)
    plain = {
        name: getattr(scores, name)[order].tolist()
        for name in ("probabilities", "predicted", "labels", "labelled")
    }
    return plain | {
        f"slice {name}": [parts.names[code] for code in parts.codes[order]]
        for name, parts in scores.owners.items()
    }


def test_rows_in_the_other_place_are_refused(of_tables, of_lake):
    repo = definitions.load(of_tables.feast.repo)
    months, loaded = moments(of_lake)
    for made, lake in ((of_lake, ""), (of_tables, of_lake.rows_in_lake)):
        with transaction(made.database) as connection, pytest.raises(Refused, match="rows are"):
            drift.month(connection, repo, contract(repo), months[0], loaded[-1], lake)
