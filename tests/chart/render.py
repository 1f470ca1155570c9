"""Render the chart with `helm template` and parse the objects.

The whole chart is rendered, and tests pick objects from it, because `--show-only` hides refusals.
"""

import functools
import lzma
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "streamflow"
RELEASE, NAMESPACE = "streamflow", "churn"
FACTS = yaml.safe_load((CHART / "components.yaml").read_text(encoding="utf-8"))["components"]
JOBS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "k8s-jobs").glob("*.yaml"))
}
EXISTING = (
    "database.existingSecret=passwords",
    "mlflow.auth.existingSecret=accounts",
    "erasure.existingSecret=erasure",
    "registrar.signing.existingSecret=signing-key",
    "prefect.auth.existingSecret=prefect-login",
)


class RefusedError(Exception):
    """Helm refused to render; the message is the one that a user sees."""


def cache() -> Path:
    """Folder in which the local cluster caches its programs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("STREAMFLOW_CLUSTER_CACHE") or Path(base) / "streamflow-cluster") / "bin"


@functools.cache
def found(name: str) -> str | None:
    """Path of a program on PATH, in the local cluster's cache, or unpacked from a folder beside the checkout; or None."""
    path = shutil.which(name) or shutil.which(name, path=str(cache()))
    if path:
        return path
    packed = ROOT.parent / "shared" / "cluster" / "bin" / f"{name}.xz"
    if packed.is_file():
        target = cache() / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(f".{os.getpid()}")
        with lzma.open(packed) as source, part.open("wb") as copy:
            shutil.copyfileobj(source, copy)
        part.chmod(0o755)
        part.rename(target)
        return str(target)
    return None


# Now: before the tests on a cluster, which may run in the same process, put Helm 4 on PATH under this name.
found("helm")

# What is not tested without a program other than helm.
UNTESTED = {
    "promtool": "the rules of the alerts are",
    "helm4": "the chart with Helm 4 is",
    "kube-score": "the chart's objects are by kube-score",
    "checkov": "the chart's objects are by checkov",
}


def program(name: str) -> str:
    """Path of a program, see `found`; if there is none, the test is skipped.

    In CI, a missing helm fails it, because nobody reads skips there.
    """
    if path := found(name):
        return path
    untested = UNTESTED.get(name, "the chart is")
    way = "'scripts/promtool' fetches it" if name == "promtool" else "Install it"
    message = f"{name} is not on PATH: {untested} NOT tested. {way}; then run again."
    if os.environ.get("CI") == "true" and name == "helm":
        pytest.fail(message)
    pytest.skip(message)


@functools.cache
def render_text(
    *sets: str,
    values: tuple[str, ...] = (),
    given: str = "",
    upgrade: bool = False,
    chart: Path = CHART,
    helm: str = "helm",
) -> str:
    """Render the chart; return the manifests as text.

    Args:
        sets: Values, each as `name=value`.
        values: Names of values files in the chart's folder.
        given: Further values, as YAML.
        upgrade: Render as for an upgrade instead of an installation.
        chart: Folder or package of the chart.
        helm: Name of the program.

    Raises:
        RefusedError: Helm refused; the error has its message.
    """
    command = [program(helm), "template", RELEASE, str(chart), "--namespace", NAMESPACE]
    for name in values:
        command += ["--values", str(CHART / name)]
    if given:
        command += ["--values", "-"]
    for item in sets:
        command += ["--set", item]
    if upgrade:
        command.append("--is-upgrade")
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise RefusedError(done.stderr)
    return done.stdout


def render(*sets: str, values: tuple[str, ...] = (), given: str = "", upgrade: bool = False) -> list[dict]:
    """Render the chart; return its objects. Without `values`, passwords come from an existing Secret."""
    wanted = sets if values else (*EXISTING, *sets)
    return parsed(render_text(*wanted, values=values, given=given, upgrade=upgrade))


@functools.cache
def parsed(text: str) -> list[dict]:
    """Parse manifests. The objects are cached, so tests must not change them."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [item for item in yaml.load_all(text, loader) if item]


CONFIGURATIONS = {
    "default": {"values": ("ci/existing-secrets.yaml",)},
    "small": {"values": ("ci/existing-secrets.yaml", "ci/small.yaml")},
    "prefect": {"values": ("ci/existing-secrets.yaml", "ci/small.yaml", "ci/prefect.yaml")},
    "prefect-elsewhere": {"values": ("ci/existing-secrets.yaml", "ci/prefect-elsewhere.yaml")},
    "spark": {"values": ("ci/existing-secrets.yaml", "ci/small.yaml", "ci/spark.yaml")},
    "external-postgres": {"values": ("ci/external-postgres.yaml",)},
    "every-knob": {"values": ("ci/every-knob.yaml",)},
    "cloudnative-pg": {"values": ("examples/cloudnative-pg.yaml",)},
    "production": {"values": ("examples/cloudnative-pg.yaml", "examples/production.yaml")},
}


def configuration(name: str) -> list[dict]:
    """Render one of `CONFIGURATIONS`, the values files in the chart; return its objects."""
    return render(**CONFIGURATIONS[name])


def pick(objects: list[dict], kind: str, name: str = "") -> dict:
    """The only object of a kind, and of a name if one is given."""
    found = [o for o in objects if o["kind"] == kind and name in ("", o["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} objects are {kind} {name}"
    return found[0]


def pod_specs(objects: list[dict]) -> dict[str, dict]:
    """All pod templates (metadata and spec), by kind and name of the object that contains them."""
    found = {}
    for item in objects:
        key = f"{item['kind']} {item['metadata']['name']}"
        match item["kind"]:
            case "Pod":
                found[key] = item
            case "Deployment" | "StatefulSet" | "Job":
                found[key] = item["spec"]["template"]
            case "CronJob":
                found[key] = item["spec"]["jobTemplate"]["spec"]["template"]
    return found


def containers(template: dict) -> list[dict]:
    """All containers of a pod template, init containers first."""
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]
