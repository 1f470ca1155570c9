"""No log names a customer: neither a key nor a value is in a file of a stack, in the log of a job, or in its result.

One stack goes the whole way, with bad rows, bad requests and failures whose messages quote rows, and then every log is
searched. What a command prints on the terminal of the person who called it is no log.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from program import Program, http

BAD = "Zweibrücken-4711"
"""A value that is valid in no column, and stands for what a customer wrote."""

UNKNOWN = "0815-NOBODY"
OF_PEOPLE = ("source.", "online.", "streamflow.scores", "streamflow.predictions", "streamflow.quarantine")
"""Beginnings of the tables that hold people, from which an erasure removes a person."""

FAST = {"STREAMFLOW_TRAINING__ESTIMATORS": '["logistic_regression"]', "STREAMFLOW_TRAINING__FOLDS": "2"}


@dataclass(frozen=True)
class Way:
    """A stack after everything that was done with it.

    Attributes:
        program: The command with the stack's home.
        jobs: Folder with the output of each job.
        ids: Keys of all customers, and of those whom requests named.
        values: Distinctive values of customers.
        dsn: Connection string of the platform's database.
        statuses: Status of each request, by what was asked.
    """

    program: Program
    jobs: Path
    ids: frozenset[str]
    values: frozenset[str]
    dsn: str
    statuses: dict[str, int]


@pytest.fixture(scope="module")
def way(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    folder = tmp_path_factory.mktemp("people")
    program, jobs = Program(folder / "home"), folder / "jobs"
    inbox, first = folder / "inbox", folder / "inbox" / "2024-01-31"
    shutil.copytree(small, inbox)
    ids, values = people(inbox)
    jobs.mkdir()
    try:
        up = program.json("up")
        urls = {service["name"]: service["url"] for service in up["services"]}
        password = (program.home / "postgres-password").read_text().strip()
        dsn = f"{urls['postgres'].replace('://', f'://streamflow:{password}@')}"
        spoil(first / "users.csv", rows=2)

        def job(name: str, *, code: int = 0, run: str = "") -> None:
            done = program.run(
                *("jobs", "exec", name),
                **FAST,
                STREAMFLOW_INGEST__INBOX=str(inbox),
                STREAMFLOW_BACKUP__FOLDER=str(folder / "backups"),
                STREAMFLOW_PROMOTION__POLICY="automatic",
            )
            (jobs / f"{name}{run}.log").write_text(done.stdout + done.stderr)
            assert done.returncode == code, (name, done.stdout, done.stderr)

        bad_drops(inbox)
        job("ingest", code=3)
        for name in ("materialize", "train", "score", "parity", "monitor", "audit", "backup"):
            job(name)
        statuses = ask(urls, min(ids))
        with psycopg.connect(dsn, autocommit=True) as connection:
            fail(connection, min(ids))
            # Rules that rows break only now, so that the errors quote these rows.
            connection.execute("ALTER TABLE streamflow.scores ADD CHECK (entity < '0') NOT VALID")
            connection.execute("ALTER TABLE source.users ADD CHECK (user_id < '0') NOT VALID")
            connection.execute("SET session_replication_role = replica")
            connection.execute("TRUNCATE streamflow.scores, streamflow.scoring_refusals, streamflow.scorings")
            connection.execute("SET session_replication_role = origin")
            later = inbox / "2024-03-31"
            shutil.copytree(inbox / "2024-02-29", later)
            job("score", code=1, run="-broken")
            job("ingest", code=1, run="-broken")
            ingested = program.run("ingest", later, "--as-of", "2024-03-31")
            assert ingested.returncode == 1 and "full trace" in ingested.stderr
            connection.execute("DROP TABLE online.subs_profile_fv CASCADE")
        statuses["broken"] = http(f"{urls['predict']}/predict", {"user_id": min(ids)})[0]
        yield Way(program, jobs, ids | {UNKNOWN}, values | {BAD}, dsn, statuses)
    finally:
        program.run("down")


def people(inbox: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Keys of the customers, and their numbers with so many digits that no other number is equal to one."""
    ids, values = set(), set()
    for path in inbox.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                ids.add(row["user_id"])
                values |= {cell for cell in row.values() if re.fullmatch(r"\d+\.\d{8,}", cell)}
    assert len(ids) > 300 and len(values) > 300
    return frozenset(ids), frozenset(values)


def spoil(path: Path, rows: int) -> None:
    """Make a value of the first rows invalid."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for at in range(1, rows + 1):
        cells = lines[at].split(",")
        lines[at] = ",".join([cells[0], cells[1], BAD, *cells[3:]])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def bad_drops(inbox: Path) -> None:
    """Drops that are refused: too many bad rows, a missing header, a duplicate of every row, an unclosed quote."""
    good = inbox / "2024-01-31"
    for day in (1, 2, 3, 4):
        shutil.copytree(good, inbox / f"2024-01-0{day}")
    spoil(inbox / "2024-01-01" / "users.csv", rows=150)
    headless = inbox / "2024-01-02" / "labels.csv"
    headless.write_text("".join(headless.read_text().splitlines(keepends=True)[1:]))
    doubled = inbox / "2024-01-03" / "labels.csv"
    doubled.write_text(doubled.read_text() + "".join(doubled.read_text().splitlines(keepends=True)[1:]))
    open_quote = inbox / "2024-01-04" / "labels.csv"
    open_quote.write_text(open_quote.read_text() + f'"{BAD}')


def ask(urls: dict[str, str], known: str) -> dict[str, int]:
    """Send good and bad requests about people to every service."""
    predict, feast, mlflow = urls["predict"], urls["feast"], urls["mlflow"]
    features = ["subs_profile_fv:monthly_fee"]
    asked = {
        "known": (f"{predict}/predict?features=1&explain=1", {"user_id": known}),
        "unknown": (f"{predict}/predict", {"user_id": UNKNOWN}),
        "not a key": (f"{predict}/predict", {"user_id": [known]}),
        "no field": (f"{predict}/predict", {known: known}),
        "batch": (f"{predict}/predict/batch", {"user_ids": [known, UNKNOWN]}),
        "features": (f"{predict}/features/{known}", None),
        "features of nobody": (f"{predict}/features/{UNKNOWN}", None),
        "path": (f"{predict}/customers/{known}", None),
        "method": (f"{predict}/features/{known}", {}),
        "query": (f"{predict}/model?user_id={known}", None),
        "features online": (
            f"{feast}/get-online-features",
            {"features": features, "entities": {"user_id": [known, UNKNOWN]}},
        ),
        "no such view": (
            f"{feast}/get-online-features",
            {"features": [f"{known}:x"], "entities": {"user_id": [known]}},
        ),
        "no such key": (f"{feast}/get-online-features", {"features": features, "entities": {"id": [known]}}),
        "wrong type": (
            f"{feast}/get-online-features",
            {"features": features, "entities": {"user_id": known}},
        ),
        "wrong values": (
            f"{feast}/get-online-features",
            {"features": features, "entities": {"user_id": [{known: 1}]}},
        ),
        "registrar": (f"{urls['registrar']}/customers/{known}", None),
        "MLflow": (f"{mlflow}/health", None),
    }
    return {name: http(*request)[0] for name, request in asked.items()}


def fail(connection: psycopg.Connection, known: str) -> None:
    """Statements whose errors quote a row: a duplicate, a cast, a syntax error, a COPY, a rule."""
    with pytest.raises(psycopg.errors.UniqueViolation, match=known):
        table = "CREATE TEMP TABLE t (id text PRIMARY KEY)"
        connection.execute(f"{table}; INSERT INTO t VALUES ('{known}'), ('{known}')")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        connection.execute(f"SELECT nothing FROM source.users WHERE user_id = '{known}'")
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("CREATE TEMP TABLE r (id text CHECK (id = ''))")
        with connection.cursor().copy("COPY r FROM STDIN") as copy:
            copy.write_row((known,))


def found_in(text: str, way: Way) -> set[str]:
    """The keys and values that a text holds."""
    return {item for item in way.ids | way.values if item in text}


def test_the_way_was_what_it_seems(way):
    statuses = way.statuses
    assert statuses["known"] == statuses["batch"] == statuses["features"] == 200
    assert statuses["features online"] == 200
    assert statuses["unknown"] == 404 and statuses["not a key"] == 422 and statuses["path"] == 404
    assert statuses["broken"] >= 500
    with psycopg.connect(way.dsn) as connection:
        rejected = connection.execute("SELECT value FROM streamflow.quarantine").fetchall()
    assert (BAD,) in rejected


def test_no_file_of_a_log_names_anybody(way):
    logs = [path for path in (way.program.home / "logs").rglob("*") if path.is_file()]
    assert {"predict.log", "postgres.log", "feast.log", "mlflow.log"} <= {path.name for path in logs}
    assert any(path.name.startswith("cli-") for path in logs)
    assert {path.name: found_in(path.read_text(errors="replace"), way) for path in logs} == {
        path.name: set() for path in logs
    }


def test_no_output_of_a_job_names_anybody(way):
    outputs = sorted(way.jobs.iterdir())
    assert len(outputs) == 10
    assert {path.name: found_in(path.read_text(), way) for path in outputs} == {
        path.name: set() for path in outputs
    }
    assert "line 2: user_gender is none of" in (way.jobs / "ingest.log").read_text()


def test_no_table_but_those_of_people_names_anybody(way):
    named = {}
    for database in ("streamflow", "mlflow"):
        with psycopg.connect(way.dsn, dbname=database) as connection:
            tables = connection.execute(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for (table,) in tables:
                if not table.startswith(OF_PEOPLE):
                    text = "\n".join(row[0] for row in connection.execute(f"SELECT t::text FROM {table} t"))
                    if found := found_in(text, way):
                        named[f"{database}:{table}"] = found
    assert named == {}


def test_what_a_job_stores_about_a_failure_says_where_it_happened(way):
    with psycopg.connect(way.dsn) as connection:
        rows = connection.execute(
            "SELECT job, message FROM streamflow.job_runs WHERE outcome = 'failed' ORDER BY run_id"
        ).fetchall()
    assert [job for job, _ in rows] == ["score", "ingest"]
    assert all("streamflow" in message or "psycopg" in message for _, message in rows)


def test_a_log_line_of_an_exception_has_its_type_and_its_places(way):
    lines = [
        json.loads(line)
        for line in (way.jobs / "score-broken.log").read_text().splitlines()
        if line[:1] == "{"
    ]
    failed = next(line for line in lines if line["msg"] == "failed")
    text = json.dumps(failed)
    assert "CheckViolation" in text and "scores_entity_check" in text
    assert any(frame.startswith("streamflow.scoring") for frame in failed["frames"])
