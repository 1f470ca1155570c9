"""Helm 4 renders what Helm 3 renders, with which all other tests run."""

from __future__ import annotations

import pytest
from render import CONFIGURATIONS, EXISTING, RefusedError, parsed, render_text

KEDA = {"values": ("ci/existing-secrets.yaml", "examples/keda.yaml")}


@pytest.mark.parametrize(
    "options",
    [CONFIGURATIONS["every-knob"], CONFIGURATIONS["prefect"], KEDA],
    ids=["every-knob", "prefect", "null"],
)
def test_both_render_the_same_objects(options):
    """They differ in blank lines."""
    assert parsed(render_text(**options, helm="helm4")) == parsed(render_text(**options))


def test_both_refuse_with_the_same_message():
    said = []
    for helm in ("helm", "helm4"):
        with pytest.raises(RefusedError) as refused:
            render_text(*EXISTING, "jobs.trian.suspend=true", "mlflow.replicaCount=2", helm=helm)
        said.append([line for line in str(refused.value).splitlines() if line.startswith("  - ")])
    assert len(said[0]) == 2
    assert said[0] == said[1]
