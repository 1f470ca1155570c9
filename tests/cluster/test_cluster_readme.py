"""Run the README's commands for Kubernetes. Fixtures run the first two, because all other tests need them."""

import contextlib
import json
import re
import shlex
import subprocess

from kubernetes_cli import block, run
from page_shell import free_port

COMMANDS = block("README.md", "On Kubernetes")


def test_the_readme_makes_a_cluster_installs_and_forwards_predict_mlflow_and_feast():
    assert COMMANDS[0].startswith("make cluster-up images load")
    assert COMMANDS[1].startswith("helm install streamflow charts/streamflow ")
    forwarded = [line.split("svc/streamflow-")[1].split()[0] for line in COMMANDS if "port-forward" in line]
    assert forwarded == ["predict", "mlflow", "feast"]


def test_every_command_that_follows_the_install_works_as_it_stands(demo, figures):
    ports, answered = {}, []
    with contextlib.ExitStack() as background:
        for written in COMMANDS[2:]:
            # Only the local port is replaced, because another process may use the README's.
            line = re.sub(r"(localhost:)(\d+)", lambda found: f"{found[1]}{ports[found[2]]}", written)
            forward = re.fullmatch(r"(kubectl .* port-forward \S+) (\d+):(\d+) &", line)
            if forward:
                ports[forward[2]] = free_port()
                command = shlex.split(f"{forward[1]} {ports[forward[2]]}:{forward[3]}")
                process = background.enter_context(
                    subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                )
                background.callback(process.terminate)
            else:
                answered.append(run(*shlex.split(line), timeout=60))
                figures(f"{line[:60]}… -> {answered[-1][:60]}")
    predicted, mlflow, feast = answered
    assert 0 <= json.loads(predicted)["probability"] <= 1
    assert mlflow == "OK"
    assert {status for item in json.loads(feast)["results"] for status in item["statuses"]} == {"PRESENT"}
