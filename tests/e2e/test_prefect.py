"""The month under Prefect: what it leaves is what the CronJobs leave, whatever is killed on the way."""

from __future__ import annotations

import json
import re
import shutil
import signal
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import psycopg
import pytest
from program import Program, http, port_of, until

from database_contents import digests

MONTHS = ("2024-01-31", "2024-02-29", "2024-03-31")
JOBS = ("ingest", "materialize", "train", "score", "monitor")
SCHEMAS = ("source", "streamflow", "online")
# When something happened; and what has the digest of a version's files, whose contract has the known-at.
IGNORED = (
    *("given_stamps", "job_starts", "job_runs", "signed_heads", "mlflow_in_line", "promotions"),
    *("trained_models", "releases", "release_pieces", "release_checks"),
)
MOVE = ("alias", "action", "from_version", "to_version", "moved_by", "why")
# The report of a month names the time of its newest verdict, so its digest differs too.
VARYING_FACTS = re.compile(r"(_at|seconds|^report)$")
OPEN = ("RUNNING", "PENDING", "CANCELLING")


@pytest.fixture(scope="module")
def drops(tmp_path_factory, stack):
    """An inbox with six simulated months."""
    folder = tmp_path_factory.mktemp("months")
    stack.program.json("simulate", folder, "--users", 400, "--months", 6)
    return folder


def variables(inbox):
    """Settings of both stacks. The flow has no schedule: it runs only when a test asks for it."""
    return {
        "STREAMFLOW_INGEST__INBOX": str(inbox),
        "STREAMFLOW_TRAINING__ESTIMATORS": '["logistic_regression"]',
        # So few users vary: the gate lets each version pass, so that there is one to approve.
        "STREAMFLOW_PROMOTION__NOT_WORSE_MARGIN": "1",
        "STREAMFLOW_PROMOTION__CALIBRATION_TOLERANCE": "1",
        "STREAMFLOW_PROMOTION__SLICE_FLOOR": "0",
        "STREAMFLOW_PROMOTION__SLICE_TOLERANCE": "1",
        "STREAMFLOW_PROMOTION__LATENCY_BUDGET_MS": "50",
        "STREAMFLOW_PREFECT__SCHEDULE": "",
        "STREAMFLOW_PREFECT__POLL_SECONDS": "0.5",
    }


class Conducted:
    """A stack with Prefect."""

    def __init__(self, home, drops):
        self.program = Program(home)
        self.variables = variables(drops)

    def up(self, **variables):
        """Start what does not run."""
        services = self.program.json("up", "--prefect", **self.variables, **variables)["services"]
        self.api = next(item["url"] for item in services if item["name"] == "prefect") + "/api"

    def ask(self, *arguments):
        """`streamflow flows`; the exit code."""
        return self.program.run("flows", *arguments, **self.variables)

    def http(self, path, document=None, method=None):
        """Status and answer of a request to the API, with the stack's login."""
        login = (self.program.home / "prefect-login").read_bytes().strip()
        basic = f"Basic {b64encode(login).decode()}"
        # The server asks to try again while it waits for its database; Prefect's own client does so, too.
        for pause in (1, 2, 4, 8, 0):
            status, answer = http(self.api + path, document, method=method, Authorization=basic)
            if status != 503 or not pause:
                break
            time.sleep(pause)
        return status, answer

    def automations(self):
        """Prefect's automations, by name."""
        status, found = self.http("/automations/filter", {})
        assert status == 200, found
        return {item["name"]: item for item in found}

    def runs(self, kind="flow_runs"):
        """All runs that are not merely scheduled."""
        status, found = self.http(f"/{kind}/filter", {"limit": 200})
        assert status == 200, found
        return [run for run in found if run["state_type"] != "SCHEDULED"]

    def started(self, as_of):
        """Have the conductor run a month, without waiting for its end."""
        _, deployment = self.http("/deployments/name/streamflow-month/streamflow")
        status, made = self.http(
            f"/deployments/{deployment['id']}/create_flow_run", {"parameters": {"as_of": as_of}}
        )
        assert status == 201, made
        return made["id"]

    def state(self, run):
        """State of a flow run; empty while the server is away."""
        status, found = self.http(f"/flow_runs/{run}")
        return found["state_name"] if status == 200 else ""

    def kill(self, *words):
        """SIGKILL the processes of this stack whose command line has all the words; return their number."""
        killed = 0
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("STREAMFLOW_HOME") == str(self.program.home)
                if ours and all(word in " ".join(process.cmdline()) for word in words):
                    process.send_signal(signal.SIGKILL)
                    killed += 1
            except psutil.Error:
                continue
        return killed

    def works_at(self, job, as_of):
        """Whether a process runs a job of a month."""
        logs = self.program.home / "prefect" / "jobs"
        return any(as_of in path.name and path.name.endswith(f"-{job}.log") for path in logs.glob("*.log"))


@pytest.fixture(scope="module")
def by_cronjobs(tmp_path_factory, drops):
    """The stack in which the CronJobs' commands run the months, in a thread meanwhile; a future."""
    program = Program(tmp_path_factory.mktemp("scheduled") / "home")

    def months():
        program.json("up")
        for as_of in MONTHS:
            for job in JOBS:
                program.ok("jobs", "exec", job, **variables(drops), STREAMFLOW_INGEST__UNTIL=as_of)
        return program

    try:
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(months)
    finally:
        program.run("down")


@pytest.fixture(scope="module")
def conducted(tmp_path_factory, prefect_environment, drops, by_cronjobs):
    """Three months under Prefect; in the second its server and a job are killed, in the third the conductor."""
    one = Conducted(tmp_path_factory.mktemp("conducted") / "home", drops)
    try:
        one.up()
        first = one.ask("run", "--as-of", MONTHS[0])
        assert first.returncode == 0, first.stderr
        run = one.started(MONTHS[1])
        until("the second month trains", lambda: one.works_at("train", MONTHS[1]))
        assert one.kill("prefect", "server", "start") == 1
        until("the job that is killed runs", lambda: one.kill("jobs", "exec", "train"))
        one.up()
        until("the second month ends", lambda: one.state(run) == "Completed")
        run = one.started(MONTHS[2])
        until("the third month trains", lambda: one.works_at("train", MONTHS[2]))
        assert one.kill("streamflow.flows", "serve") == 1
        until("its process is killed too", lambda: one.kill("prefect.engine"))
        one.up()
        until("the third month ends", lambda: one.state(run) == "Completed")
        yield one
    finally:
        one.program.run("down")
    assert one.program.processes() == []


def connection(program):
    url = program.services()["postgres"]["url"]
    password = (program.home / "postgres-password").read_text(encoding="ascii").strip()
    return psycopg.connect(
        host="127.0.0.1", port=port_of(url), user="streamflow", password=password, dbname="streamflow"
    )


def left(program):
    """What the jobs of the months left in the database, without times."""
    with closing(connection(program)) as connected:
        tables = digests(connected, SCHEMAS, IGNORED)
        results = connected.execute(
            "SELECT job, facts FROM streamflow.job_runs WHERE outcome = 'done' AND job = ANY(%s) ORDER BY run_id",
            (list(JOBS),),
        ).fetchall()
        probabilities = connected.execute(
            "SELECT entity, probability FROM streamflow.scores ORDER BY scoring_id, entity"
        ).fetchall()
        models = connected.execute(
            "SELECT split_digest, file, piece, content FROM streamflow.trained_models"
            " JOIN streamflow.release_pieces USING (manifest_sha256)"
            " WHERE file IN ('model.onnx', 'golden.json') ORDER BY trained_at, file, piece"
        ).fetchall()
    moves = [tuple(row[name] for name in MOVE) for row in program.json("models", "history")["moves"]]
    return tables, moves, [(job, without_times(facts)) for job, facts in results], probabilities, models


def without_times(value):
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if not VARYING_FACTS.search(k)}
    return [without_times(item) for item in value] if isinstance(value, list) else value


# Two stacks and thirty runs of jobs are its fixtures.
@pytest.mark.timeout(2400)
def test_three_months_under_prefect_leave_what_the_cronjobs_leave(conducted, by_cronjobs):
    tables, moves, results, probabilities, models = left(conducted.program)
    other_tables, other_moves, other_results, other_probabilities, other_models = left(by_cronjobs.result())
    assert tables == other_tables
    assert moves == other_moves
    assert [move[0] for move in moves] == ["staging", "production"] * len(MONTHS)
    assert results == other_results
    assert probabilities == other_probabilities
    assert len(probabilities) > 1000
    assert models == other_models
    assert len(models) >= 2 * len(MONTHS)
    trained = [facts["version"] for job, facts in results if job == "train"]
    assert trained == [1, 2, 3]


def test_no_run_stays_running_and_each_month_ended_once(conducted):
    flow_runs = conducted.runs()
    assert {run["state_name"] for run in flow_runs} == {"Completed"}
    assert len(flow_runs) == len(MONTHS)
    assert [run["name"] for run in conducted.runs("task_runs") if run["state_type"] in OPEN] == []


def test_nobody_reaches_prefect_without_the_login(conducted):
    assert http(f"{conducted.api}/flow_runs/filter", {"limit": 1})[0] == 401
    assert ((conducted.program.home / "prefect-login").stat().st_mode & 0o777) == 0o600


def test_each_job_has_a_page(conducted):
    status, found = conducted.http("/artifacts/filter", {"limit": 200})
    assert status == 200
    assert {page["key"] for page in found} == {f"streamflow-{job}" for job in JOBS}
    assert any("/#/models/streamflow_churn/versions/3)" in page["data"] for page in found)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What a webhook was told, and the file with its URL."""
    bodies = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = tmp_path_factory.mktemp("webhook") / "url"
    file.write_text(f"http://127.0.0.1:{server.server_port}/hook", encoding="ascii")
    yield bodies, file
    server.shutdown()
    server.server_close()


def test_a_version_waits_for_a_person_whom_the_ledger_names(conducted, told):
    bodies, file = told
    conducted.up(STREAMFLOW_PROMOTION__POLICY="manual", STREAMFLOW_PREFECT__WEBHOOK_FILE=str(file))
    asked = conducted.ask("run", "--as-of", "2024-04-30")
    assert asked.returncode == 75, asked.stderr
    until("the webhook knows", lambda: ("streamflow: approval waiting", "month 2024-04-30") in heard(bodies))
    [waiting] = [run for run in conducted.runs() if run["state_name"] == "Suspended"]
    answer = {"decision": "promote", "why": "better on\nApril", "by": "ada"}
    status, refused = conducted.http(
        f"/flow_runs/{waiting['id']}/resume", {"run_input": {**answer, "why": ""}}
    )
    assert refused["status"] == "REJECT", (status, refused)
    status, accepted = conducted.http(f"/flow_runs/{waiting['id']}/resume", {"run_input": answer})
    assert accepted["status"] == "ACCEPT", (status, accepted)
    until("the run ends", lambda: conducted.state(waiting["id"]) == "Completed")
    newest = conducted.program.json("models", "history")["moves"][-1]
    assert (newest["moved_by"], newest["alias"], newest["to_version"]) == ("prefect:ada", "production", 4)
    assert newest["why"] == "better on April"
    with closing(connection(conducted.program)) as connected:
        scored = connected.execute(
            "SELECT version FROM streamflow.scorings ORDER BY scoring_id DESC LIMIT 1"
        ).fetchone()
    assert scored == (4,)


def test_a_backfill_runs_the_months_of_its_range_in_order_and_asks_nobody(conducted):
    before = len(conducted.program.json("models", "history")["moves"])
    asked = conducted.ask("backfill", "2024-05-01", "2024-06-30")
    assert asked.returncode == 0, asked.stderr
    months = [run for run in conducted.runs() if run["name"] in ("month 2024-05-31", "month 2024-06-30")]
    assert [run["state_name"] for run in months] == ["Completed"] * 2
    with closing(connection(conducted.program)) as connected:
        done = connected.execute(
            "SELECT job FROM streamflow.job_runs WHERE outcome = 'done' ORDER BY run_id DESC LIMIT 10"
        ).fetchall()
        ingested = connected.execute(
            "SELECT as_of::date::text FROM streamflow.drops ORDER BY loaded_at DESC LIMIT 2"
        ).fetchall()
    assert [job for (job,) in reversed(done)] == [*JOBS, *JOBS]
    assert ingested == [("2024-06-30",), ("2024-05-31",)]
    # By the policy `manual`, both versions wait at staging.
    moves = conducted.program.json("models", "history")["moves"][before:]
    assert [move["alias"] for move in moves] == ["staging", "staging"]


def heard(bodies):
    return [(body["what"], body.get("run")) for body in bodies]


def test_a_month_that_does_not_come_is_told_of_and_a_restart_does_not_begin_its_days_anew(conducted, told):
    bodies, file = told
    conducts = lambda: (conducted.program.home / "logs" / "conductor.log").read_text().count('"conducting"')  # noqa: E731
    paused = f"/automations/{conducted.automations()['streamflow: approval waiting']['id']}"
    assert conducted.http(paused, {"enabled": False}, method="PATCH")[0] == 204
    before, times = conducted.automations(), conducts()
    assert conducted.kill("streamflow.flows", "serve") == 1
    conducted.up(STREAMFLOW_PROMOTION__POLICY="manual", STREAMFLOW_PREFECT__WEBHOOK_FILE=str(file))
    until("the conductor is back", lambda: conducts() > times)
    # A trigger that is updated gets another id, under which Prefect counts from nothing.
    assert conducted.automations() == before
    overdue = before["streamflow: month overdue"]
    assert overdue["trigger"]["within"] == 35 * 86400
    sooner = {**overdue, "trigger": {**overdue["trigger"], "within": 12}}
    wanted = {key: sooner[key] for key in ("name", "description", "enabled", "trigger", "actions")}
    assert conducted.http(f"/automations/{overdue['id']}", wanted, method="PUT")[0] == 204
    until("the webhook knows", lambda: ("streamflow: month overdue", None) in heard(bodies))


def test_a_drop_that_is_refused_fails_its_run_once_and_the_webhook_knows(conducted, drops, told):
    bodies, _ = told
    shutil.copytree(drops / "2024-06-30", drops / "2024-07-31")
    (drops / "2024-07-31" / "labels.csv").write_text("user_id\n", encoding="ascii")
    asked = conducted.ask("run", "--as-of", "2024-07-31")
    assert asked.returncode == 1
    assert "labels.csv" in asked.stderr
    until("the webhook knows", lambda: ("streamflow: run failed", "month 2024-07-31") in heard(bodies))
    [failed] = [run for run in conducted.runs() if run["name"] == "month 2024-07-31"]
    [ingest] = [run for run in conducted.runs("task_runs") if run["flow_run_id"] == failed["id"]]
    assert (ingest["name"], ingest["run_count"]) == ("ingest", 1)


def test_without_a_conductor_a_run_says_what_to_start(conducted):
    conducted.program.run("down")
    asked = conducted.ask("run")
    assert asked.returncode == 4
    assert "streamflow up --prefect" in asked.stderr


def test_without_prefect_the_hint_says_how_to_install_it(stack, tmp_path):
    asked = stack.program.run("flows", "run", STREAMFLOW_PREFECT__PYTHON=str(tmp_path / "absent"))
    assert asked.returncode == 2
    assert "make prefect" in asked.stderr
