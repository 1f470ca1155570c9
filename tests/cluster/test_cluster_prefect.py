"""Prefect on a cluster: server, conductor, and an admission policy that holds the conductor to its CronJobs' Jobs."""

import base64
import copy
import json
import re
import time

import nodes
import pytest
from altered_jobs import CHANGES
from kubernetes_cli import CHART, FACTS, JOBS, Release, ask, run, wait_for
from open_loop_pod import node_of_postgresql
from page_shell import STREAMFLOW, commands, page_block, shell
from prefect_server import Server, jobs_of_prefect, listen, start_another
from test_cluster_network import PROBE

MONTH = ("ingest", "materialize", "train", "score", "monitor")
PORT = FACTS["prefect"]["port"]


@pytest.fixture(scope="module")
def conducted(demo):
    """The README's installation, whose month Prefect conducts since the first of the page's commands."""
    shell(commands(page_block("Prefect", 0))[0], timeout=660)
    yield demo
    upgrade(demo, {"prefect.enabled": False})


def upgrade(release, values, wait=True):
    """Change values of the release, by their paths, and by default wait until all is ready."""
    changed = [
        part for path, value in values.items() for part in ("--set-json", f"{path}={json.dumps(value)}")
    ]
    release.helm(
        "upgrade", CHART, "--reuse-values", *changed, *(("--wait", "--timeout", "10m") if wait else ())
    )


@pytest.fixture(scope="module")
def login(conducted):
    """The generated login."""
    secret = conducted.get("secret", f"{conducted.name}-prefect")["data"]["auth-string"]
    return tuple(base64.b64decode(secret).decode().split(":"))


@pytest.fixture(scope="module")
def server(conducted, login):
    """Prefect's server, once it knows the flows."""
    found = Server(conducted, login)
    wait_for(found.month, "the flow's deployment", timeout=120)
    return found


def test_the_server_asks_for_a_login_and_knows_the_flows(conducted, login):
    with conducted.forwarded(f"{conducted.name}-prefect", PORT) as url:
        assert ask(f"{url}/api/ready")[0] == 200
        assert ask(f"{url}/api/deployments/filter", {})[0] == 401

        def deployed():
            _, found = ask(f"{url}/api/deployments/filter", {}, login=login)
            return {item["name"]: item for item in found}

        [found] = [wait_for(deployed, "the flow's deployment", timeout=120)["streamflow"]]
        assert found["status"] == "READY" or wait_for(
            lambda: deployed()["streamflow"]["status"] == "READY",
            "a conductor that looks for work",
            timeout=60,
        )


def test_its_pages_come_from_a_read_only_image_and_ask_their_own_address(conducted):
    with conducted.forwarded(f"{conducted.name}-prefect", PORT) as url:
        status, page = ask(url)
        assert (status, "<title>Prefect Server</title>" in page) == (200, True)
        [script, *_] = re.findall(r'src="(/[^"]+\.js)"', page)
        assert ask(url + script)[0] == 200
        assert ask(f"{url}/ui-settings")[1]["api_url"] == "/api"


def test_the_cron_jobs_of_the_month_are_suspended_and_no_others(conducted):
    suspended = {
        item["metadata"]["labels"]["streamflow.io/job"]: item["spec"]["suspend"]
        for item in conducted.get("cronjobs", "--selector=streamflow.io/job")
    }
    assert all(suspended[name] for name in MONTH)
    assert not any(suspended[name] for name in ("audit", "backup", "parity", "retention"))


def test_the_server_owns_its_database_with_the_extension_and_keeps_within_its_connections(conducted):
    assert conducted.sql("SELECT extname FROM pg_extension WHERE extname = 'pg_trgm'", "prefect") == [
        ["pg_trgm"]
    ]
    [[owner, used]] = conducted.sql(
        "SELECT pg_get_userbyid(datdba), (SELECT count(*) FROM pg_stat_activity WHERE datname = 'prefect')"
        " FROM pg_database WHERE datname = 'prefect'"
    )
    assert owner == "streamflow_prefect"
    assert 0 < int(used) <= 8 + FACTS["prefect"]["connections"]["besides"]


@pytest.mark.parametrize(
    ("source", "reached"),
    [("conductor", {"prefect"}), ("prefect", {"postgresql"}), ("mlflow", {"postgresql"})],
)
def test_each_reaches_what_it_needs_and_nothing_else(conducted, source, reached):
    targets = {}
    for pod in conducted.pods():
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        if component in ("postgresql", "prefect", "mlflow", "registrar", "predict"):
            own = FACTS[component]
            targets[component] = (pod["status"]["podIP"], own.get("port", own.get("metricsPort")))
    assert len(targets) == 5
    python = ["exec", f"deployment/{conducted.name}-{source}", "--", "python", "-c", PROBE]
    out = conducted.kubectl(*python, json.dumps(targets), json.dumps(sorted(reached)), source)
    assert set(json.loads(out)) == reached


def account(release):
    return f"system:serviceaccount:{release.namespace}:{release.name}-conductor"


@pytest.mark.parametrize(
    ("verb", "what", "allowed"),
    [
        ("list", "cronjobs.batch", True),
        ("create", "jobs.batch", True),
        ("watch", "jobs.batch", True),
        ("get", "pods/log", True),
        ("get", "secrets", False),
        ("list", "secrets", False),
        ("get", "configmaps", False),
        ("create", "pods", False),
        ("create", "pods/exec", False),
        ("delete", "jobs.batch", False),
        ("patch", "jobs.batch", False),
        ("patch", "cronjobs.batch", False),
        ("create", "cronjobs.batch", False),
        ("create", "serviceaccounts/token", False),
    ],
)
def test_the_conductor_may_start_and_see_jobs_and_nothing_else(conducted, verb, what, allowed):
    asked = ["auth", "can-i", verb, what, f"--as={account(conducted)}"]
    answer = conducted.kubectl(*asked, check=False).stdout.strip()
    assert answer == ("yes" if allowed else "no")


@pytest.fixture(scope="module")
def job(conducted):
    """A Job equal to the template of the CronJob `train`."""
    made = ["create", "job", "by-hand", f"--from=cronjob/{conducted.name}-train"]
    return json.loads(conducted.kubectl(*made, "--dry-run=client", "--output=json"))


def created(release, job):
    """Create a Job as the conductor, for a try; return the error, empty if it was admitted."""
    as_conductor = ["create", "--dry-run=server", f"--as={account(release)}", "--filename=-"]
    return release.kubectl(*as_conductor, stdin=json.dumps(job), check=False).stderr


def test_a_job_equal_to_the_template_is_admitted(conducted, job):
    assert created(conducted, job) == ""


def test_a_job_with_parameters_is_admitted(conducted, job):
    asked = copy.deepcopy(job)
    asked["spec"]["template"]["spec"]["containers"][0]["env"] += [
        {"name": "STREAMFLOW_INGEST__UNTIL", "value": "2024-03-31"},
        {"name": "STREAMFLOW_REQUEST__WHY", "value": "the campaign: costs 5 $"},
    ]
    assert created(conducted, asked) == ""


@pytest.mark.parametrize("change", CHANGES)
def test_a_job_that_differs_is_refused(conducted, job, change):
    changed = copy.deepcopy(job)
    CHANGES[change](changed)
    assert changed != job
    error = created(conducted, changed)
    assert "ValidatingAdmissionPolicy" in error
    assert "denied request" in error


def test_others_may_create_other_jobs(conducted, job):
    """The policy is about the conductor alone."""
    changed = copy.deepcopy(job)
    CHANGES["another command"](changed)
    conducted.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(changed))


@pytest.fixture
def left_behind(conducted):
    """A namespace without CronJobs, but with the policy of a release that was there."""
    other = Release("left-behind")
    other.create_namespace()
    for kind in ("validatingadmissionpolicy", "validatingadmissionpolicybinding"):
        [found] = [
            item
            for item in conducted.get(kind)
            if item["metadata"]["name"] == f"{conducted.name}-conductor.{conducted.namespace}"
        ]
        moved = json.dumps({"apiVersion": found["apiVersion"], "kind": found["kind"], "spec": found["spec"]})
        copied = json.loads(moved.replace(f'"{conducted.namespace}"', '"left-behind"'))
        copied["metadata"] = {"name": "left-behind"}
        if "policyName" in copied["spec"]:
            copied["spec"]["policyName"] = "left-behind"
        run("kubectl", "apply", "--filename=-", stdin=json.dumps(copied))
    yield other
    run("kubectl", "delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "left-behind")
    other.delete_namespace()


def test_a_policy_that_was_left_behind_refuses_nobodys_jobs(conducted, job, left_behind):
    """A namespace that is deleted without an uninstall leaves it; it once refused all Jobs of the cluster."""
    here = copy.deepcopy(job)
    here["metadata"].pop("namespace", None)

    def create(release):
        release.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(here))

    # A policy holds some seconds after it was made.
    for _ in range(10):
        create(left_behind)
        create(conducted)
        time.sleep(1)


def name(job):
    return job["metadata"]["labels"]["streamflow.io/job"]


def made_since(release, before):
    """Jobs that the conductor created after others, in the order of their creation and end."""
    made = [job for uid, job in jobs_of_prefect(release).items() if uid not in before]
    return sorted(
        made, key=lambda job: (job["metadata"]["creationTimestamp"], job["status"].get("completionTime", ""))
    )


def test_a_month_by_hand_as_documented_runs_as_jobs_in_their_order(conducted, server):
    before = jobs_of_prefect(conducted)
    said = shell("\n".join(commands(page_block("Prefect", 0))[1:]), timeout=600)
    assert ":".join(server.login) in said
    jobs = made_since(conducted, before)
    assert [name(job) for job in jobs] == list(MONTH)
    assert all(job["status"]["succeeded"] == 1 for job in jobs)


def kill(pattern):
    """SIGKILL the processes of all nodes whose command line matches; return their number."""
    killed = 0
    for node in nodes.names():
        if found := nodes.processes(node, pattern):
            nodes.on(node, "kill", "-KILL", *map(str, found), check=False)
            killed += len(found)
    return killed


def test_a_month_ends_once_although_server_conductor_and_a_job_are_killed(conducted, server):
    before = jobs_of_prefect(conducted)
    asked = server.start()
    wait_for(
        lambda: any(name(job) == "materialize" for job in made_since(conducted, before)),
        "materialize is at work",
        timeout=180,
    )
    assert kill("prefect server start") > 0
    wait_for(lambda: kill("jobs exec train$"), "the job that is killed is at work", timeout=180, pause=0.2)
    assert kill("streamflow.flows serve") > 0
    assert server.end(asked, timeout=420) == "COMPLETED"
    jobs = made_since(conducted, before)
    assert [name(job) for job in jobs] == list(MONTH)
    assert all(job["status"]["succeeded"] == 1 for job in jobs)
    assert [name(job) for job in jobs if job["status"].get("failed")] == ["train"]
    assert server.at_work() == []


def apart_from_postgresql(release):
    """Have the conductor on the other worker than PostgreSQL; return that node's name."""
    conductor, away = f"deployment/{release.name}-conductor", node_of_postgresql(release)
    run("kubectl", "cordon", away)
    try:
        release.kubectl("rollout", "restart", conductor)
        release.kubectl("rollout", "status", conductor, "--timeout=180s")
    finally:
        run("kubectl", "uncordon", away)
    return next(node for node in nodes.names()[1:] if node != away)


@pytest.mark.load
@pytest.mark.fault("F40")
def test_f40_a_month_ends_once_although_the_node_of_its_conductor_restarts(conducted, server, verdict):
    before = jobs_of_prefect(conducted)
    node = apart_from_postgresql(conducted)
    asked = server.start()
    at_work = lambda: any(nodes.processes(each, "jobs exec train$") for each in nodes.names())  # noqa: E731
    wait_for(at_work, "train is at work", timeout=240, pause=0.2)
    restarted = time.monotonic()
    run("docker", "restart", node)
    assert server.end(asked, timeout=600) == "COMPLETED"
    verdict(seconds_from_the_restart_to_the_end=round(time.monotonic() - restarted))
    # A pod that a node starts before its network is back fails. Prefect tries again, with another Job.
    jobs = [job for job in made_since(conducted, before) if job["status"].get("succeeded")]
    assert [name(job) for job in jobs] == list(MONTH)
    assert server.at_work() == []


@pytest.fixture
def hook(conducted):
    """What Prefect's server told a webhook so far."""
    address = listen(conducted)
    url = f"http://{address}:8080/month"
    conducted.kubectl("create", "secret", "generic", "hook", f"--from-literal=url={url}")
    rule = {"ports": [{"port": 8080}], "to": [{"ipBlock": {"cidr": f"{address}/32"}}]}
    rules = "prefect.server.networkPolicy.extraEgress"
    upgrade(conducted, {"prefect.webhook.existingSecret": "hook", rules: [rule]})
    yield lambda: [json.loads(line) for line in conducted.kubectl("logs", "hook").splitlines()]
    # The next test's upgrade waits.
    upgrade(conducted, {"prefect.webhook.existingSecret": "", rules: []}, wait=False)
    conducted.kubectl("delete", "pod/hook", "secret/hook", "--grace-period=1")


def test_a_webhook_is_told_of_a_run_that_failed(conducted, server, hook):
    late = f"cronjob/{conducted.name}-materialize"

    def deadline(seconds):
        spec = {"jobTemplate": {"spec": {"activeDeadlineSeconds": seconds}}}
        conducted.kubectl("patch", late, "--type=merge", f"--patch={json.dumps({'spec': spec})}")

    deadline(1)
    try:
        assert server.end(server.start()) == "FAILED"
    finally:
        deadline(JOBS["materialize"]["deadlineSeconds"])
    [told] = wait_for(hook, "the webhook receives a message", timeout=60)
    assert (told["what"], told["state"]) == ("streamflow: run failed", "Failed")


def test_one_value_puts_the_cron_jobs_to_work_while_prefect_is_down(conducted, server):
    monitors = "--selector=streamflow.io/job=monitor"
    before = {job["metadata"]["uid"] for job in conducted.get("jobs", monitors)}

    def by_the_clock():
        return [
            job
            for job in conducted.get("jobs", monitors)
            if job["metadata"]["uid"] not in before
            and "batch.kubernetes.io/cronjob-scheduled-timestamp" in job["metadata"]["annotations"]
            and job["status"].get("succeeded")
        ]

    own, every_minute = JOBS["monitor"]["schedule"], "* * * * *"
    # A class that there is not: Kubernetes creates no pod of the server.
    down = {"prefect.server.priorityClassName": "absent"}
    upgrade(conducted, {"jobs.monitor.schedule": every_minute, **down}, wait=False)
    try:
        wait_for(lambda: not server.month(), "Prefect's server is down", timeout=60)
        shell(page_block("Prefect", 1))
        suspended = {name(job): job["spec"]["suspend"] for job in conducted.get("cronjobs")}
        assert not any(suspended[job] for job in MONTH)
        log = run(STREAMFLOW, "jobs", "run", "ingest", "-n", conducted.namespace)
        assert '"outcome": "done"' in log
        wait_for(by_the_clock, "the CronJob starts its job", timeout=180)
    finally:
        up = {"prefect.server.priorityClassName": ""}
        upgrade(conducted, {"prefect.cronJobs": "suspended", "jobs.monitor.schedule": own, **up}, wait=False)
    active = lambda: [item["active"] for item in server.month().get("schedules", [])] == [True]  # noqa: E731
    wait_for(active, "the schedule of the conductor's flow")


# Last: the login of the chart's server is another one afterwards.
def test_a_prefect_that_somebody_else_runs_takes_the_place_of_the_charts_server(conducted):
    login = ("ada", "theirs")
    start_another(conducted, "theirs", login)
    conducted.kubectl(
        "create", "secret", "generic", "theirs", f"--from-literal=auth-string={':'.join(login)}"
    )
    url = f"http://theirs.{conducted.namespace}.svc:{PORT}/api"
    upgrade(conducted, {"prefect.apiUrl": url, "prefect.auth.existingSecret": "theirs"})
    try:
        assert f"{conducted.name}-prefect" not in {
            item["metadata"]["name"] for item in conducted.get("deployments")
        }
        theirs, before = Server(conducted, login, "theirs"), jobs_of_prefect(conducted)
        wait_for(theirs.month, "the flow's deployment", timeout=120)
        assert theirs.end(theirs.start()) == "COMPLETED"
        assert [name(job) for job in made_since(conducted, before)] == list(MONTH)
    finally:
        # Prefect is removed after this test.
        upgrade(conducted, {"prefect.apiUrl": "", "prefect.auth.existingSecret": ""}, wait=False)
        conducted.kubectl("delete", "pod/theirs", "service/theirs", "secret/theirs", "--grace-period=1")
