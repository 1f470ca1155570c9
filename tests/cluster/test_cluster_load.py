"""Behaviour under load: idle usage, autoscaler, rolling restarts, jobs, upgrades and a reinstallation.

The order matters, because later tests change the installation.
"""

import contextlib
import json
import subprocess
import time
from pathlib import Path

import pytest
from kubernetes_cli import answers, is_ready, run, wait_for
from open_loop_pod import predict_pods, replicas
from page_shell import ROOT, commands, page_block, shell
from script_pod import script_pod

pytestmark = pytest.mark.load

MOST_MEMORY, MOST_CPU = 2.5 * 2**30, 0.4
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
RATE = 40
CURVE = (1, 2, 4)
CURVE_SECONDS = 30
SCRIPT = Path(__file__).with_name("load_client.py").read_text(encoding="utf-8")


@contextlib.contextmanager
def load(clients, demo, entities, rate=RATE):
    """Send requests all the time; yield a function that returns the counts so far."""
    address = demo.get("service", f"{demo.name}-predict")["spec"]["clusterIP"]
    pod = script_pod("client", SCRIPT, [address, "80", str(rate), *entities], cpu="20m", memory="32Mi")
    clients.kubectl("apply", "--filename=-", stdin=json.dumps(pod))
    clients.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=120s")

    def counts():
        lines = clients.kubectl("logs", "client", "--tail=1").splitlines()
        return json.loads(lines[0]) if lines else None

    try:
        wait_for(lambda: (counts() or {"requests": 0})["requests"] > 20, "the first answers", timeout=60)
        yield counts
    finally:
        clients.kubectl("delete", "pod", "client", "--grace-period=0", "--force", check=False)


def none_failed(counts, figures, what, least=100):
    """Assert that no request failed and that there were at least `least`; print the figures."""
    last = counts()
    figures(
        f"{what}: {last['requests']} requests ({last['kept']} on kept connections, {last['fresh']} on fresh ones),"
        f" {last['failed']} failed; p50 {last['p50_ms']} ms, p99 {last['p99_ms']} ms; versions {last['versions']}"
    )
    for error in last["errors"]:
        figures(f"  {error}")
    assert last["failed"] == 0
    assert last["requests"] >= least
    assert min(last["kept"], last["fresh"]) > 0
    return last


def test_the_idle_platform_fits(demo, figures):
    def settled():
        first, second = usage(demo), None
        if first:
            # metrics-server measures every 15 s. If two separate measurements agree, the platform is idle.
            time.sleep(35)
            second = usage(demo)
        return second if second and abs(total(first)[0] - total(second)[0]) < 0.1 else None

    used = wait_for(settled, "the platform comes to rest", timeout=600)
    for name, (cpu, memory) in sorted(used.items()):
        figures(f"idle: {name:44} {cpu * 1000:5.0f} mCPU {memory / 2**20:6.0f} MiB")
    cpu, memory = total(used)
    figures(f"idle: {'together':44} {cpu * 1000:5.0f} mCPU {memory / 2**20:6.0f} MiB")
    assert memory < MOST_MEMORY
    assert cpu < MOST_CPU


def test_the_curve_of_predict_pods_behind_their_service(demo, clients, entities, figures):
    for pods in CURVE:
        with replicas(demo, pods), load(clients, demo, entities, rate=0) as counts:
            # Their processors and the client's are those of the nodes, and the same for every number of pods.
            before = counts()["requests"]
            time.sleep(CURVE_SECONDS)
            last = counts()
            a_second = (last["requests"] - before) / CURVE_SECONDS
            figures(
                f"curve: {pods} pods of predict: {a_second:,.0f} requests a second,"
                f" p50 {last['p50_ms']} ms, p99 {last['p99_ms']} ms"
            )
            assert last["failed"] == 0, last["errors"]
            assert a_second > RATE


def test_the_autoscaler_sees_cpu_scales_out_under_load_and_in_again(demo, clients, entities, figures):
    def autoscaler():
        return demo.get("hpa", f"{demo.name}-predict")["status"]

    def cpu():
        resources = [
            m["resource"]["current"] for m in autoscaler().get("currentMetrics") or [] if "resource" in m
        ]
        return next((item["averageUtilization"] for item in resources if "averageUtilization" in item), None)

    def ready():
        return demo.get("deployment", f"{demo.name}-predict")["status"].get("readyReplicas", 0)

    idle = wait_for(lambda: cpu() is not None and [cpu()], "the autoscaler sees a CPU value", timeout=180)[0]
    fewest = len(predict_pods(demo))
    began = time.monotonic()
    with load(clients, demo, entities, rate=0) as counts:
        wait_for(lambda: ready() > fewest, "another pod is ready under load", timeout=300)
        out, busy, last = time.monotonic() - began, cpu(), counts()
    began = time.monotonic()
    wait_for(lambda: len(predict_pods(demo)) == fewest, "the autoscaler takes them back", timeout=900)
    figures(
        f"autoscaler: {idle} % CPU idle, {busy} % under load; from {fewest} pods to more in {out:.0f} s,"
        f" back in {time.monotonic() - began:.0f} s; {last['requests']} requests, {last['failed']} failed"
    )


def test_a_rolling_restart_and_deleted_pods_fail_no_request(demo, clients, entities, figures):
    deployment = f"deployment/{demo.name}-predict"
    with load(clients, demo, entities) as counts:
        demo.kubectl("rollout", "restart", deployment)
        demo.kubectl("rollout", "status", deployment, "--timeout=300s")
        none_failed(counts, figures, "rolling restart")
        for _ in range(2):
            pod = next(p["metadata"]["name"] for p in predict_pods(demo))
            demo.kubectl("delete", "pod", pod, "--wait=true", timeout=120)
            wait_for(lambda: all_ready(demo), "as many pods as before", timeout=180)
        # Wait until clients whose connection was to a deleted pod have sent another request.
        before = counts()["requests"]
        wait_for(lambda: counts()["requests"] > before + 100, "more requests", timeout=60)
        none_failed(counts, figures, "and two pods deleted", least=before)


def test_predictions_go_on_through_ingest_materialization_and_training(
    demo, clients, entities, months, figures
):
    with load(clients, demo, entities) as counts:
        demo.drop(months / "2024-03-31", "2024-03-31")
        for job in ("ingest", "materialize", "train"):
            began = time.monotonic()
            facts = demo.job(job)
            figures(f"{job} under load took {time.monotonic() - began:.0f} s")
        assert facts["version"] == 2
        none_failed(counts, figures, "ingest, materialize, train")


@pytest.mark.fault("F26")
def test_an_upgrade_and_the_way_back_keep_secrets_and_rows_and_fail_no_request(
    demo, clients, entities, figures
):
    """The page's commands, with the same images as a newer version's."""
    before = kept(demo)
    upgrade, back, _ = commands(page_block("Upgrade, roll back, uninstall", 0))
    for name in ("predict", "platform"):
        run("docker", "tag", f"streamflow/{name}:0.1.0", f"streamflow/{name}:0.2.0")
    run(ROOT / "images" / "cluster.sh", "load", "streamflow/predict:0.2.0", "streamflow/platform:0.2.0")
    predict = f"deployment/{demo.name}-predict"
    with load(clients, demo, entities) as counts:
        for command, tag in ((upgrade, "0.2.0"), (back, "0.1.0")):
            shell(command, timeout=600)
            demo.kubectl("rollout", "status", predict, "--timeout=300s", timeout=330)
            [container] = demo.get(predict)["spec"]["template"]["spec"]["containers"]
            assert container["image"] == f"streamflow/predict:{tag}"
            wait_for(lambda: all_ready(demo), "every pod ready", timeout=180)
            none_failed(counts, figures, f"predict at {tag}")
    assert kept(demo) == before


@pytest.mark.fault("F28")
def test_uninstall_and_reinstall_find_the_data(demo, figures):
    before, answer = kept(demo), answers(demo)
    shell(commands(page_block("Upgrade, roll back, uninstall", 0))[2])
    wait_for(lambda: not demo.pods(), "every pod is gone", timeout=180)
    began = time.monotonic()
    demo.helm("install", "charts/streamflow", "--wait", "--timeout", "15m")
    again = wait_for(lambda: answers(demo), "an answer", timeout=300)
    figures(f"reinstall: the same answer {time.monotonic() - began:.0f} s after helm install")
    assert (again["probability"], again["model"]) == (answer["probability"], answer["model"])
    assert kept(demo) == before


def kept(release):
    """What an upgrade must not change: passwords and row counts."""
    tables = ["streamflow.drops", "streamflow.promotions"]
    tables += [f"source.{name}" for (name,) in release.sql("SELECT relname FROM pg_class JOIN pg_namespace n"
        " ON n.oid = relnamespace WHERE nspname = 'source' AND relkind IN ('r', 'p') ORDER BY 1")]  # fmt: skip
    rows = {table: release.sql(f"SELECT count(*) FROM {table}")[0][0] for table in tables}
    return release.get("secret", f"{release.name}-database")["data"], rows


def all_ready(release):
    pods = predict_pods(release)
    wanted = release.get("deployment", f"{release.name}-predict")["spec"]["replicas"]
    return len(pods) == wanted and all(map(is_ready, pods))


def total(used):
    return tuple(sum(item[i] for item in used.values()) for i in (0, 1))


def usage(release):
    """CPU cores and bytes of memory by pod; None until metrics-server knows all pods."""
    try:
        text = run(
            "kubectl", "get", "--raw", f"/apis/metrics.k8s.io/v1beta1/namespaces/{release.namespace}/pods"
        )
    except (AssertionError, subprocess.TimeoutExpired):
        return None
    names = {pod["metadata"]["name"] for pod in release.pods()}
    used = {
        pod["metadata"]["name"]: (
            sum(cores(c["usage"]["cpu"]) for c in pod["containers"]),
            sum(amount(c["usage"]["memory"]) for c in pod["containers"]),
        )
        for pod in json.loads(text)["items"]
        if pod["metadata"]["name"] in names
    }
    return used if set(used) == names else None


def cores(text):
    for unit, factor in {"n": 1e-9, "u": 1e-6, "m": 1e-3}.items():
        if text.endswith(unit):
            return int(text[:-1]) * factor
    return float(text)


def amount(text):
    return int(text[:-2]) * UNITS[text[-2:]] if text[-2:] in UNITS else int(text)
