"""The commands that people use report a version that waits at staging."""

from typer.testing import CliRunner

from streamflow.cli.main import app
from streamflow.mlflow_api import sdk
from streamflow.model_version import tags
from streamflow.registry.promote import promote

WHO = {"why": "a test", "by": "ada"}


def listed():
    return CliRunner().invoke(app, ["models", "list"]).output.replace("\n", " ")


def test_a_version_that_waits_at_staging_is_reported(settings, make):
    (first,) = make(1)
    assert "waits" not in listed()
    promote(settings.backends, first, "staging", **WHO)
    assert f"Version {first} waits at staging: not judged yet" in listed()
    with sdk.client(settings.mlflow) as client:
        client.set_model_version_tag(settings.mlflow.registered_model, str(first), tags.GATE, "passed")
    printed = f"passed the gate; promote it with: streamflow models promote {first} --why"
    assert printed in listed()
    # This home has no stack of its own, so `status` asks no service.
    assert "waits" not in CliRunner().invoke(app, ["status"]).output
