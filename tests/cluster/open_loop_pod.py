"""Open-loop load on predict from a pod in the cluster, and ways to hurt what runs on its nodes."""

import contextlib
import json
import os
import time
from pathlib import Path

from kubernetes_cli import is_ready, run, wait_for

import load_history

SCRIPT = (Path(__file__).parents[1] / "open_loop.py").read_text(encoding="utf-8")
RATE = 200
POD = "open-loop"


class Load:
    """A client pod that sends requests for a given time."""

    def __init__(self, clients, seconds):
        self.clients, self.seconds = clients, seconds

    def history(self):
        """Wait until the client has ended; return its requests."""

        def ended():
            return self.clients.get("pod", POD)["status"]["phase"] == "Succeeded"

        wait_for(ended, "the client ends", timeout=self.seconds + 120)
        return load_history.parse(self.clients.kubectl("logs", POD, timeout=120))


@contextlib.contextmanager
def load(clients, release, entities, seconds, rate=RATE, *, retry=False):
    """Send requests for `seconds` seconds; begins when the first ones are on their way."""
    address = release.get("service", f"{release.name}-predict")["spec"]["clusterIP"]
    clients.kubectl("delete", "pod", POD, "--ignore-not-found", "--grace-period=0", "--force")
    arguments = [address, "80", str(rate), str(seconds), *entities]
    clients.kubectl("apply", "--filename=-", stdin=json.dumps(client_pod(arguments, retry)))

    def begun():
        return clients.kubectl("logs", POD, "--tail=1", check=False).stdout.strip()

    try:
        wait_for(begun, "the first answers", timeout=120, pause=0.5)
        yield Load(clients, seconds)
    finally:
        clients.kubectl("delete", "pod", POD, "--grace-period=0", "--force", check=False)


def client_pod(arguments, retry):
    """A pod that runs open_loop.py in the predict image, and meets the restricted Pod Security Standard."""
    container = {
        "name": "client",
        "image": "streamflow/predict:0.1.0",
        "command": ["python", "-I", "-c", SCRIPT, *arguments],
        "env": [{"name": "RETRY", "value": "1" if retry else ""}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    }


def predict_pods(release):
    """Pods of predict that are not being deleted."""
    return [p for p in release.pods() if p["metadata"]["labels"]["app.kubernetes.io/component"] == "predict"]


def ready_pods(release):
    """Number of ready pods of predict."""
    return sum(map(is_ready, predict_pods(release)))


@contextlib.contextmanager
def replicas(release, least, most=None):
    """Let the autoscaler keep this number of predict pods for the duration of a `with` block."""
    scaler = f"horizontalpodautoscaler/{release.name}-predict"
    held = release.get(scaler)["spec"]

    def bounds(low, high):
        release.kubectl(
            "patch", scaler, "--patch", json.dumps({"spec": {"minReplicas": low, "maxReplicas": high}})
        )

    bounds(least, most or least)
    try:
        wait_for(lambda: ready_pods(release) >= least, f"{least} pods of predict are ready", timeout=300)
        yield
    finally:
        bounds(held["minReplicas"], held["maxReplicas"])


def on_node(*command, check=True, stdin=None):
    """Run a command on the cluster's node, which is a container of Docker; return its output."""
    node = f"{os.environ.get('CLUSTER', 'streamflow-test')}-control-plane"
    interactive = ["-i"] if stdin is not None else []
    return run("docker", "exec", *interactive, node, *command, check=check, stdin=stdin)


def processes(pattern):
    """Process numbers on the node whose command line matches."""
    found = on_node("pgrep", "-f", pattern, check=False).stdout
    return [int(line) for line in found.split()]


@contextlib.contextmanager
def dropping(rule):
    """Let the node's firewall apply a rule to forwarded packets for the duration of a `with` block."""
    table = "streamflow_faults"
    text = f"table inet {table} {{ chain forward {{ type filter hook forward priority -10; {rule} }} }}"
    on_node("nft", "-f", "-", stdin=text)
    try:
        yield
    finally:
        on_node("nft", "delete", "table", "inet", table)


def pause_until(moment):
    """Sleep until a time in seconds since 1970."""
    time.sleep(max(0.0, moment - time.time()))
