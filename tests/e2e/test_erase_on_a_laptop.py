"""A person is erased by command on a laptop: predict does not know them, and no file of the stack names them."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pytest
from program import Program, http, until

from streamflow import settings as settings_module
from streamflow.local.postgres import binary

PERSON = "0000-QXZWV"
WHY = ("--why", "asked for it", "--request", "DSR-1")


@pytest.fixture(scope="module")
def laptop(tmp_path_factory):
    """A stack that serves a version trained on two small drops; the person is in both."""
    folder = tmp_path_factory.mktemp("laptop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMFLOW_BACKUP__FOLDER", str(folder / "backups"))
        program = Program(folder / "home")
        try:
            up = program.json("up")
            program.ok("simulate", folder / "drops", "--users", 300, "--months", 3)
            for day in sorted((folder / "drops").iterdir()):
                _name(day)
            first, second, _ = sorted((folder / "drops").iterdir())
            for day in (first, second):
                program.ok("ingest", day)
            program.ok("materialize")
            program.ok("train", "--as-of", first.name, "--estimator", "logistic_regression")
            for alias in ("staging", "production"):
                program.ok("promote", "1", "--to", alias, "--why", "a test")
            until("a served version", lambda: http(f"{_url(up, 'predict')}/readyz")[0] == 200)
            program.ok("score")
            program.ok("backup")
            yield program, up, folder
        finally:
            program.ok("down")


def _name(folder: Path) -> None:
    """Give the person's key to the first user of a drop."""
    with (folder / "users.csv").open(encoding="utf-8") as file:
        former = next(iter(csv.DictReader(file)))["user_id"]
    for path in folder.glob("*.csv"):
        path.write_text(
            path.read_text(encoding="utf-8").replace(f"{former},", f"{PERSON},"), encoding="utf-8"
        )


def _url(up, service):
    return next(item["url"] for item in up["services"] if item["name"] == service)


def _mentioning(folder: Path) -> list[str]:
    return [
        str(path) for path in folder.rglob("*") if path.is_file() and PERSON.encode() in path.read_bytes()
    ]


def test_a_person_is_erased_and_stays_away(laptop):
    program, up, folder = laptop
    predict = f"{_url(up, 'predict')}/predict"
    assert http(predict, {"user_id": PERSON})[0] == 200
    key = folder / "home" / "erasure-key"
    assert key.stat().st_mode & 0o777 == 0o600

    counted = program.json("erase", PERSON, "--dry-run")
    assert counted["rows"]["source.users"] == 2
    assert program.json("erase", "--list") == []
    done = program.json("erase", PERSON, *WHY)
    assert done["rows"] == counted["rows"]
    assert done["left"] == []
    assert PERSON not in program.ok("erase", "--list")

    status, answer = http(predict, {"user_id": PERSON})
    assert (status, answer["reason"]) == (404, "unknown_entity")
    assert "was erased on" in program.ok("explain", PERSON)

    program.ok("ingest", sorted((folder / "drops").iterdir())[2])
    refused = program.json("drops", "quarantine")
    assert {(row["reason"], row["value"], row["raw"]) for row in refused} == {("erased", None, "")}
    program.ok("materialize")
    assert http(predict, {"user_id": PERSON})[0] == 404
    assert "without 1 erased rows" in program.ok("reproduce", "1")
    program.ok("backup")


def test_no_log_and_no_artifact_names_the_person(laptop):
    program, _, folder = laptop
    # A trace of something unexpected names the command, and not its arguments.
    program.run("erase", PERSON, *WHY, STREAMFLOW_MLFLOW__TRACKING_URI="nonsense://")
    assert _mentioning(folder / "home" / "logs") == []
    assert _mentioning(folder / "home" / "mlflow") == []
    assert _mentioning(folder / "home" / "run") == []


def test_the_databases_name_the_person_nowhere(laptop):
    program, _, _ = laptop
    loaded = settings_module.load(home=program.home).database
    for name in (loaded.name, loaded.mlflow_name):
        dumped = subprocess.run(
            [binary("pg_dump"), "-h", loaded.host, "-p", str(loaded.port), "-U", loaded.user, name],
            env={"PGPASSWORD": loaded.secret},
            check=True,
            capture_output=True,
        ).stdout
        assert PERSON.encode() not in dumped


def test_the_backup_from_before_does_not_bring_the_person_back(laptop):
    program, up, folder = laptop
    oldest = min(path.parent for path in (folder / "backups").glob("*/manifest.json"))
    done = program.json("restore", oldest, "--replace")
    assert "1 erased people" in done["next"][0]
    status, answer = http(f"{_url(up, 'predict')}/predict", {"user_id": PERSON})
    assert (status, answer["reason"]) == (404, "unknown_entity")
    assert _mentioning(folder / "home" / "mlflow") == []
    acts = json.loads(program.ok("erase", "--list", "--json"))
    # The second one found MLflow away.
    assert [act["request"] for act in acts] == ["DSR-1", "DSR-1"]


def test_a_withdrawal_is_an_act_of_its_own(laptop):
    program, _, _ = laptop
    done = program.run("erase", PERSON, "--withdraw", "--why", f"{PERSON} is a customer again")
    assert done.returncode == 2
    assert PERSON not in done.stderr
    program.ok("erase", PERSON, "--withdraw", "--why", "is a customer again")
    assert [act["action"] for act in program.json("erase", "--list")] == ["erase", "erase", "withdraw"]
    again = program.run("erase", PERSON, "--withdraw", "--why", "once more")
    assert again.returncode == 3
