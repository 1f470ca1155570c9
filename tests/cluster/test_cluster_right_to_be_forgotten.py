"""The job `erase`, started as the page says, removes a person; later tests meet the installation without them."""

import json
import os
import subprocess

from kubernetes_cli import ROOT, STREAMFLOW, any_entity, ask, block


def test_the_pages_commands_erase_a_person_and_no_log_names_them(demo):
    person = any_entity(demo)
    script = "\n".join(["set -euo pipefail", *block("docs/erasure.md", "On Kubernetes")])
    assert "7590-VHVEG" in script
    done = subprocess.run(
        ["bash", "-c", script.replace("7590-VHVEG", person)],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{STREAMFLOW.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert person not in done.stdout + done.stderr
    [[outcome, facts]] = demo.sql(
        "SELECT outcome, facts FROM streamflow.job_runs WHERE job = 'erase' ORDER BY run_id DESC LIMIT 1"
    )
    assert outcome == "done"
    assert json.loads(facts)["rows"]["source.users"] >= 1
    assert json.loads(facts)["runs"] >= 1
    assert demo.sql(f"SELECT count(*) FROM source.users WHERE user_id = '{person}'") == [["0"]]
    with demo.forwarded(f"{demo.name}-predict", 80) as url:
        status, answer = ask(f"{url}/predict", {"user_id": person})
    assert (status, answer["code"], answer["reason"]) == (404, "missing_features", "unknown_entity")
    demo.job("audit")
    demo.job("monitor")
