"""The page of a job in Prefect."""

import re

from hypothesis import given
from hypothesis import strategies as st

from streamflow.flows.order import Declared
from streamflow.flows.pages import page
from streamflow.flows.said import Said
from streamflow.settings import MlflowSettings

MLFLOW = MlflowSettings(tracking_uri="http://mlflow:5000/", registered_model="churn")
TRAIN = Declared("train", "Train a challenger.")


def test_a_training_links_to_its_version():
    shown = page(
        TRAIN, Said("done", {"version": 3, "auc": 0.81, "promoted": False, "result_version": 2}), MLFLOW
    )
    assert shown.startswith("## train: done\n\nTrain a challenger.")
    assert "(http://mlflow:5000/#/models/churn/versions/3)" in shown
    assert "| auc | 0.81 |" in shown
    assert "| promoted | no |" in shown
    assert "result" not in shown


def test_a_list_is_a_table_with_a_row_for_each():
    drops = [
        {"drop_id": "2024-01-31.1", "accepted": {"users": 5}},
        {"drop_id": "2024-02-29.1", "accepted": {}},
    ]
    shown = page(Declared("ingest", "Ingest."), Said("done", {"drops": drops}), MLFLOW)
    assert (
        "### drops\n\n| drop id | accepted |\n|---|---|\n| 2024-01-31.1 | users 5 |\n| 2024-02-29.1 |  |"
        in shown
    )


def test_a_failure_is_shown_with_its_reason():
    shown = page(TRAIN, Said("refused", why="The gate has no rows."), MLFLOW)
    assert shown.startswith("## train: refused")
    assert "The gate has no rows." in shown


@given(st.text(min_size=1))
def test_no_value_breaks_out_of_its_cell(text):
    shown = page(TRAIN, Said("done", {"why": text}), MLFLOW)
    cell = shown.rpartition("| why | ")[2]
    assert cell.endswith(" |")
    assert len(cell.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(?:\\\\)*[<>\[\]`|]", cell[:-2])
