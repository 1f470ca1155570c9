"""Lists at 80 columns: a line a row, with the longest texts under it; a pipe gets each row in one line."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from streamflow.cli import jobs, promotions
from streamflow.cli.output import print_table
from streamflow.cluster.jobs import ClusterJob
from streamflow.registry.trail import Move

K8S_JOBS = Path(__file__).parents[3] / "k8s-jobs"
AT = datetime(2026, 11, 27, 2, 30, 12, tzinfo=UTC)


def cluster_jobs():
    """The project's jobs in a Helm release with a long name."""
    found = []
    for path in sorted(K8S_JOBS.glob("*.yaml")):
        job = yaml.safe_load(path.read_text(encoding="utf-8"))
        found.append(
            ClusterJob(
                name=path.stem,
                object_name=f"streamflow-production-eu-west-{path.stem}",
                schedule=job["schedule"],
                suspended=path.stem == "restore",
                summary=job["summary"],
                release="streamflow-production-eu-west",
                last_started=AT,
                last_succeeded=None if path.stem == "erase" else AT,
                running=int(path.stem == "train"),
                last_run="killed: OOMKilled" if path.stem == "train" else "succeeded",
            )
        )
    return found


def moves():
    """Moves by a person and by a job, of versions with three digits."""
    return [
        Move(
            moved_at=AT,
            moved_by=by,
            alias="production",
            from_version=98 + number,
            to_version=99 + number,
            action=action,
            why=why,
            facts={},
            promotion_id=1234 + number,
            login="streamflow_promotion_registrar",
            gate={"verdict": "passed"},
        )
        for number, (by, action, why) in enumerate(
            [
                (
                    "maria.gonzalez-fernandez@streaming.example.com",
                    "promote",
                    "trained on the drop of October, which has the customers of the two new countries for the first time",
                ),
                ("job train", "rollback", "complaints since this morning"),
            ]
        )
    ]


LISTS = {
    "jobs": (
        jobs.show_jobs,
        cluster_jobs,
        "materialize",
        "Materialize the features of the newest drop to the online store.",
    ),
    "history": (promotions.show_moves, moves, "promote production", "for the first time"),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_row_is_one_line_at_80_columns_and_nothing_is_lost(name, capsys, monkeypatch):
    show, made, word, sentence = LISTS[name]
    monkeypatch.setenv("COLUMNS", "80")
    show(made())
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    rows = [line for line in said.splitlines()[2:] if not line.startswith(" ")]
    assert len(rows) == len(made())
    assert any(word in row for row in rows)
    assert sentence in " ".join(said.split())
    monkeypatch.setenv("COLUMNS", "400")
    show(made())
    wide = capsys.readouterr().out
    missing = (
        {word for word in wide.split() if "─" not in word}
        - set(said.replace(":", " ").split())
        - set(said.split())
    )
    assert not missing


@pytest.mark.parametrize("name", LISTS)
def test_a_pipe_gets_each_row_in_one_line(name, capsys, monkeypatch):
    show, made, _, sentence = LISTS[name]
    monkeypatch.delenv("COLUMNS", raising=False)
    show(made())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(made()) + 2
    assert any(sentence in line for line in lines)


def test_a_table_without_columns_to_move_is_whole_in_a_pipe_too(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table(("a", "b"), [("x" * 70, "y" * 70)])
    assert capsys.readouterr().out.splitlines()[-1].split() == ["x" * 70, "y" * 70]
