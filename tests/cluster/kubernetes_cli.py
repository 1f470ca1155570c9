"""Run kubectl and helm as a user does: wait for conditions, forward ports, copy drops to the volume."""

import base64
import contextlib
import json
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import yaml
from page_shell import ROOT, page_block, shell

from streamflow.monitoring.smoke import entity_queries

CHART = ROOT / "charts" / "streamflow"
FACTS = yaml.safe_load((CHART / "components.yaml").read_text(encoding="utf-8"))["components"]
JOBS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (CHART / "jobs").glob("*.yaml")
}
IMPOSSIBLE = "Cannot create a cluster on this machine"
TEST_LABEL = "streamflow.io/test=yes"


def run(*command, stdin=None, timeout=600, check=True, cwd=None):
    """Run a command and return its output; fail with the output if the command fails.

    With `check=False`, return the finished process instead.
    """
    done = subprocess.run(
        [str(part) for part in command],
        input=stdin, capture_output=True, text=True, timeout=timeout, check=False, cwd=cwd,
    )  # fmt: skip
    if check and done.returncode:
        raise AssertionError(
            f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout if check else done


def wait_for(question, what, timeout=300, pause=1.0):
    """Poll `question` until its answer is true, and return that; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (answer := question()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout} s"
        time.sleep(pause)
    return answer


def ask(url, body=None, timeout=30, login=None):
    """Send a request; return its status and JSON or text, or (0, reason) if the connection fails."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})
    if login:
        request.add_header("authorization", f"Basic {base64.b64encode(':'.join(login).encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            status, text = response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def block(page, heading):
    """Commands in the first bash block below a heading of a page, without comments."""
    text = (ROOT / page).read_text(encoding="utf-8")
    below = text[text.index(f"\n## {heading}\n") :]
    shell = re.search(r"^```bash\n(.*?)^```", below, re.MULTILINE | re.DOTALL)[1]
    lines = re.sub(r"\\\n\s*", "", shell).splitlines()
    return [re.sub(r"\s+#.*$", "", line) for line in lines if line.strip() and not line.startswith("#")]


def any_entity(release):
    """Key of the first entity whose features are complete in the newest materialization."""
    tables = ["subs_profile_fv", "usage_agg_30d_fv", "payments_agg_90d_fv", "support_agg_90d_fv"]
    return release.sql(entity_queries("user_id", tables)[0])[0][0]


def answers(release):
    """Answer of /predict to a valid request; None if it is not a prediction."""
    with release.forwarded(f"{release.name}-predict", 80) as url:
        status, answer = ask(f"{url}/predict", {"user_id": any_entity(release)})
    return answer if status == 200 and 0 <= answer["probability"] <= 1 else None


class Release:
    """A Helm release of the chart in a namespace of its own."""

    def __init__(self, namespace, name="streamflow"):
        self.namespace, self.name = namespace, name

    def kubectl(self, *arguments, **options):
        """Run kubectl in the namespace; return its output."""
        return run("kubectl", "--namespace", self.namespace, *arguments, **options)

    def get(self, *arguments):
        """Get an object, or the items of a list."""
        found = json.loads(self.kubectl("get", *arguments, "--output=json"))
        return found.get("items", found)

    def create_namespace(self):
        """Create the namespace with the restricted Pod Security Standard; delete an old one first."""
        self.delete_namespace()
        run("kubectl", "create", "namespace", self.namespace)
        restricted = "pod-security.kubernetes.io/enforce=restricted"
        run("kubectl", "label", "namespace", self.namespace, restricted, TEST_LABEL)

    def delete_namespace(self):
        """Delete the namespace with all data; fail if the tests did not create it."""
        found = run("kubectl", "get", "namespace", self.namespace, "--ignore-not-found", "--output=json")
        if not found.strip():
            return
        key, value = TEST_LABEL.split("=")
        ours = json.loads(found)["metadata"]["labels"].get(key) == value
        assert ours, (
            f"the namespace {self.namespace} is there, and no test made it: use another cluster (CLUSTER=…)"
        )
        run("kubectl", "delete", "namespace", self.namespace, "--wait", timeout=300)

    def helm(self, verb, *arguments, timeout=1500):
        """Run helm for this release; return its output."""
        return run(
            "helm", verb, self.name, *arguments, "--namespace", self.namespace, timeout=timeout, cwd=ROOT
        )

    def chart(self, verb, *values, wait=True):
        """Install or upgrade with ci/small.yaml and the given values; by default wait until all is ready."""
        arguments = [CHART, "--values", CHART / "ci" / "small.yaml"]
        for value in values:
            arguments += ["--set", value]
        waits = ["--wait", "--timeout", "20m"] if wait else []
        return self.helm(verb, *arguments, *waits)

    @contextlib.contextmanager
    def forwarded(self, service, port):
        """Run `kubectl port-forward` to a service; yield the local URL."""
        command = ["kubectl", "--namespace", self.namespace, "port-forward", f"service/{service}", f":{port}"]
        # Output goes to a file: nobody reads it later on, and a full pipe would block kubectl.
        with (
            tempfile.TemporaryFile("w+") as out,
            subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, text=True) as process,
        ):
            try:
                yield f"http://{wait_for(lambda: self._address(process, out), 'port-forward', 60, 0.1)}"
            finally:
                process.terminate()

    @staticmethod
    def _address(process, out):
        ended = process.poll() is not None
        out.seek(0)
        text = out.read()
        assert not ended, f"kubectl port-forward said: {text}"
        found = re.search(r"127\.0\.0\.1:\d+", text)
        return found and found[0]

    def sql(self, statement, database="streamflow"):
        """Run a statement; return its rows as lists of strings."""
        shell = [
            "psql",
            "-XAtq",
            "-F",
            "\t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
            database,
            "-c",
            statement,
        ]
        out = self.kubectl("exec", f"statefulset/{self.name}-postgresql", "--", *shell)
        return [line.split("\t") for line in out.splitlines()]

    def login(self, role):
        """Name and password of the account of MLflow that pods with this role have."""
        secret = self.get("secret", f"{self.name}-mlflow")["data"][f"{role}-password"]
        return f"streamflow-{role}", base64.b64decode(secret).decode()

    def job(self, name, timeout=900):
        """Run a job now with `kubectl create job --from=cronjob/…`; return the facts that it recorded.

        If its schedule has just started the job, this run does nothing, so try again.
        """
        while True:
            made = f"{name}-{time.monotonic_ns():x}"
            self.kubectl("create", "job", f"--from=cronjob/{self.name}-{name}", made)
            ended = wait_for(lambda made=made: self._ended(made), f"job {made}", timeout)
            log = self.kubectl("logs", f"job/{made}", "--all-containers")
            assert ended == "Complete", f"{made}: {ended}\n{log}"
            if "already running" not in log:
                break
        [[outcome, facts]] = self.sql(
            f"SELECT outcome, facts FROM streamflow.job_runs WHERE job = '{name}' ORDER BY run_id DESC LIMIT 1"
        )
        assert outcome == "done", log
        return json.loads(facts)

    def _ended(self, job):
        conditions = self.get("job", job)["status"].get("conditions", [])
        return next(
            (c["type"] for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"),
            "",
        )

    def drop(self, folder, as_of):
        """Copy a folder to the volume for drops with the page's commands."""
        given = {
            "-n streamflow ": f"-n {self.namespace} ",
            "./2024-01-31 ": f"{folder} ",
            "drops:/drops/2024-01-31": f"drops:/drops/{as_of}",
        }
        shell(page_block("Bring drops", 0), given, timeout=500)

    def pods(self):
        """Pods of servers, that is, not of Jobs, that are not being deleted."""
        return [
            pod
            for pod in self.get("pods", f"--selector=app.kubernetes.io/instance={self.name}")
            if not pod["metadata"].get("deletionTimestamp")
            and not any(owner["kind"] == "Job" for owner in pod["metadata"].get("ownerReferences", []))
        ]


def restarts(pod):
    """Number of restarts of all containers in a pod."""
    status = pod["status"]
    every = status.get("containerStatuses", []) + status.get("initContainerStatuses", [])
    return sum(item["restartCount"] for item in every)


def is_ready(pod):
    """Whether the pod's condition Ready is true."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
