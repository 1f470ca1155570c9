"""A run that was trained in the image can be reproduced in it: same digests, figures and golden rows."""

import json
import os
import subprocess

from page_shell import STREAMFLOW


def test_the_demos_run_is_reproduced_in_its_image(demo, tmp_path):
    account, password = demo.login("viewer")
    with demo.forwarded(f"{demo.name}-mlflow", 5000) as url:
        done = subprocess.run(
            [STREAMFLOW, "reproduce", "production", "--in-image", "-n", demo.namespace, "--json"],
            env={
                **os.environ,
                "STREAMFLOW_HOME": str(tmp_path / "no-stack-here"),
                "STREAMFLOW_MLFLOW__TRACKING_URI": url,
                "STREAMFLOW_MLFLOW__USERNAME": account,
                "STREAMFLOW_MLFLOW__PASSWORD": password,
            },
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["verdict"] == "reproduced"
    assert {layer["name"]: layer["verdict"] for layer in document["layers"]} == {
        "data": "same",
        "code": "same",
        "environment": "same",
        "result": "same",
    }
