"""What tests ask of a server of Prefect on a cluster; and pods: what its webhook calls, and another server."""

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

    def __init__(self, release, login, service=None):
        self.release, self.login = release, login
        self.service = service or f"{release.name}-prefect"

    def ask(self, path, body=None):
        """Status and document of a request; (0, reason) while no pod is ready."""
        try:
            with self.release.forwarded(self.service, FACTS["prefect"]["port"]) as url:
                return ask(f"{url}/api{path}", body, login=self.login)
        except AssertionError as error:
            return 0, str(error)

    def month(self):
        """Deployment of the flow streamflow-month; empty until the conductor has registered it."""
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
    start(release, "hook", "predict", ["python", "-c", _HOOK], {})
    return release.get("pod", "hook")["status"]["podIP"]


def start_another(release, name, login):
    """Start a server of Prefect that is not the release's, with a Service."""
    port = str(FACTS["prefect"]["port"])
    variables = {
        "PREFECT_SERVER_API_AUTH_STRING": ":".join(login),
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    start(
        release,
        name,
        "prefect",
        ["prefect", "server", "start", "--host", "0.0.0.0", "--port", port],
        variables,
    )
    release.kubectl("expose", "pod", name, f"--port={port}")


def start(release, name, component, command, variables):
    """Start a pod with the image of a component, under the restricted Pod Security Standard, and wait for it."""
    [found] = release.get("deployment", f"{release.name}-{component}")["spec"]["template"]["spec"][
        "containers"
    ]
    container = {
        "name": name,
        "image": found["image"],
        "command": command,
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"test": name}},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }
    release.kubectl("apply", "--filename=-", stdin=json.dumps(pod))
    release.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s")
