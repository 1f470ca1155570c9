"""Open-loop load on predict from a pod in the cluster."""

import contextlib
import json
import os
import threading
from pathlib import Path

from kubernetes_cli import ROOT, is_ready, restarts, wait_for
from script_pod import script_pod

import load_history

SCRIPT = (Path(__file__).parents[1] / "open_loop.py").read_text(encoding="utf-8")
RATE = 200
LONGEST_SECONDS = 2.5
"""The service's deadline is 2 s; the rest is the way there and back."""
POD = "open-loop"
KEPT = ROOT / "build" / "faults"
"""Folder of the histories of all requests."""


class Load:
    """A client pod that sends requests for a given time."""

    def __init__(self, clients, seconds):
        self.clients, self.seconds = clients, seconds

    def history(self):
        """Wait until the client has ended; return its requests."""

        def ended():
            return self.clients.get("pod", POD)["status"]["phase"] == "Succeeded"

        wait_for(ended, "the client ends", timeout=self.seconds + 120)
        text = self.clients.kubectl("logs", POD, timeout=120)
        KEPT.mkdir(parents=True, exist_ok=True)
        name = os.environ["PYTEST_CURRENT_TEST"].partition("::")[2].rpartition(" ")[0]
        with (KEPT / f"{name.replace('/', ' ')}.log").open("a", encoding="utf-8") as kept:
            kept.write(text)
        return load_history.parse(text)


@contextlib.contextmanager
def load(clients, release, entities, seconds, rate=RATE, *, then=(), retry=0, node=None):
    """Send requests for `seconds` seconds; begins when the first ones are on their way.

    Args:
        clients: Namespace of the client.
        release: Whose predict service is asked.
        entities: Whom it is asked about, in turn.
        seconds: How long requests are sent.
        rate: Requests a second.
        then: Further rates, each with its number of seconds.
        retry: Seconds after which a failed request is sent once more; 0 for never.
        node: Name of the node that the client runs on; by default any.
    """
    address = release.get("service", f"{release.name}-predict")["spec"]["clusterIP"]
    clients.kubectl("delete", "pod", POD, "--ignore-not-found", "--grace-period=0", "--force")
    steps = ((rate, seconds), *then)
    arguments = [address, "80", ",".join(f"{each}x{long}" for each, long in steps), *entities]
    pod = script_pod(POD, SCRIPT, arguments, cpu="50m", memory="64Mi", env={"RETRY": str(retry)}, node=node)
    clients.kubectl("apply", "--filename=-", stdin=json.dumps(pod))

    def begun():
        return clients.kubectl("logs", POD, "--tail=1", check=False).stdout.strip()

    try:
        wait_for(begun, "the first answers", timeout=120, pause=0.5)
        yield Load(clients, sum(long for _, long in steps))
    finally:
        clients.kubectl("delete", "pod", POD, "--grace-period=0", "--force", check=False)


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


def restarted(release):
    """Number of restarts of the containers of predict."""
    return sum(map(restarts, predict_pods(release)))


def node_of_postgresql(release):
    """Name of the node that PostgreSQL runs on."""
    return release.get("pod", f"{release.name}-postgresql-0")["spec"]["nodeName"]


def told(verdict, asked, **figures):
    verdict(**load_history.summary(asked), **figures)
    return [f"{each.code} {each.what} {each.seconds:.2f}s" for each in load_history.failed(asked)][:10]


def unharmed(asked, gone, back):
    """Every request was answered in time, with a prediction or a controlled refusal."""
    assert load_history.uncontrolled(asked) == []
    assert load_history.percentile(load_history.between(asked, gone - 1, back + 10), 1.0) < LONGEST_SECONDS


@contextlib.contextmanager
def watched(question):
    """Ask five times a second for the duration of a `with` block; yields the list of the answers."""
    seen, over = [question()], threading.Event()

    def watch():
        while not over.wait(0.2):
            seen.append(question())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
