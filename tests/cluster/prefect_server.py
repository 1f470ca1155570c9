"""What tests ask of Prefect's server on a cluster, and a pod that keeps what its webhook sends."""

import json

from kubernetes_cli import FACTS, ask, wait_for

ENDS = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
OPEN = ("RUNNING", "PENDING", "CANCELLING")
_HOOK = """
from http.server import BaseHTTPRequestHandler, HTTPServer

class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["content-length"])).decode(), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass

HTTPServer(("", 8080), Hook).serve_forever()
"""


class Server:
    """The API, through a port-forward for each request: by the next one, the server may have another pod."""

    def __init__(self, release, login):
        self.release, self.login = release, login

    def ask(self, path, body=None):
        """Status and document of a request; (0, reason) while no pod is ready."""
        try:
            with self.release.forwarded(f"{self.release.name}-prefect", FACTS["prefect"]["port"]) as url:
                return ask(f"{url}/api{path}", body, login=self.login)
        except AssertionError as error:
            return 0, str(error)

    def month(self):
        """The deployment of the flow of a month; empty while there is none."""
        status, found = self.ask("/deployments/name/streamflow-month/streamflow")
        return found if status == 200 else {}

    def start(self):
        """Ask for a month of what is due; return the id of its flow run."""
        status, run = self.ask(f"/deployments/{self.month()['id']}/create_flow_run", {})
        assert status == 201, run
        return run["id"]

    def end(self, run, timeout=300):
        """Wait for the end of a flow run; return how it ended."""

        def ended():
            status, found = self.ask(f"/flow_runs/{run}")
            return found["state_type"] if status == 200 and found["state_type"] in ENDS else ""

        return wait_for(ended, f"the end of flow run {run}", timeout)

    def at_work(self):
        """Names of the flow runs and task runs that are at work, or look as if they were."""
        found = []
        for kind in ("flow_runs", "task_runs"):
            status, runs = self.ask(f"/{kind}/filter", {kind: {"state": {"type": {"any_": OPEN}}}})
            assert status == 200, runs
            found += [run["name"] for run in runs]
        return found


def jobs_of_prefect(release):
    """Jobs that the conductor created, by uid."""
    return {
        job["metadata"]["uid"]: job
        for job in release.get("jobs", "--selector=streamflow.io/job")
        if job["metadata"]["annotations"].get("streamflow.io/by") == "prefect"
    }


def listen(release):
    """Start a pod that keeps what it is sent; return its address."""
    [container] = release.get("deployment", f"{release.name}-predict")["spec"]["template"]["spec"][
        "containers"
    ]
    restricted = {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    hook = {
        "name": "hook",
        "image": container["image"],
        "command": ["python", "-c", _HOOK],
        "securityContext": restricted,
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hook"}, "spec": {"containers": [hook]}}
    release.kubectl("apply", "--filename=-", stdin=json.dumps(pod))
    release.kubectl("wait", "--for=condition=Ready", "pod/hook", "--timeout=120s")
    return release.get("pod", "hook")["status"]["podIP"]
