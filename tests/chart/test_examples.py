"""Every example renders together with what its first lines ask for, and contains what it is an example of."""

from __future__ import annotations

import pytest
from render import CHART, pick, render

SECRETS = "ci/existing-secrets.yaml"
# Values files to render, by example; None for a manifest.
EXAMPLES = {
    "cloudnative-pg.yaml": ("examples/cloudnative-pg.yaml",),
    "drops-pod.yaml": None,
    "keda.yaml": (SECRETS, "examples/keda.yaml"),
    "production.yaml": ("examples/cloudnative-pg.yaml", "examples/production.yaml"),
}


def example(name):
    return render(values=EXAMPLES[name])


def test_every_example_is_tested():
    assert {path.name for path in (CHART / "examples").iterdir()} == set(EXAMPLES)


@pytest.mark.parametrize("name", [name for name, values in EXAMPLES.items() if values])
def test_an_example_renders(name):
    assert pick(example(name), "Deployment", "streamflow-predict")


def test_cloudnative_pgs_server_is_checked_against_the_operators_authority():
    objects = example("cloudnative-pg.yaml")
    data = pick(objects, "ConfigMap", "streamflow-settings")["data"]
    assert data["STREAMFLOW_DATABASE__SSLMODE"] == "verify-full"
    volumes = pick(objects, "Deployment", "streamflow-predict")["spec"]["template"]["spec"]["volumes"]
    assert "streamflow-db-ca" in {v["secret"]["secretName"] for v in volumes if "secret" in v}


def test_keda_scales_the_deployment_of_predict_alone_and_within_the_budget_of_connections():
    objects = example("keda.yaml")
    deployment = pick(objects, "Deployment", "streamflow-predict")
    assert "replicas" not in deployment["spec"]
    assert not [o for o in objects if o["kind"] == "HorizontalPodAutoscaler"]
    scaled = pick(objects, "ScaledObject")
    assert scaled["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    spec = scaled["spec"]
    assert spec["scaleTargetRef"] == {"name": deployment["metadata"]["name"]}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 8)
    [trigger] = spec["triggers"]
    assert trigger["metadata"]["query"] == (
        'sum(streamflow_queue_requests{namespace="churn",pod=~"streamflow-predict-.*"})'
    )
