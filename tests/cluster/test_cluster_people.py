"""People move versions in MLflow under their own name, and predict needs no MLflow to start."""

import json
import time

import pytest
from kubernetes_cli import answers, ask, is_ready, wait_for
from page_shell import page_block, shell

from streamflow.registry import heads

REPLICAS = 4


def registrar(release, *command):
    """Run a command of StreamFlow in the registrar's pod, which has the role and the account to promote."""
    return release.kubectl("exec", f"deployment/{release.name}-registrar", "--", "streamflow", *command)


def ledger(release):
    return json.loads(registrar(release, "models", "history", "--json"))["moves"]


def test_people_move_versions_under_their_own_name_in_mlflow_and_by_command(demo):
    before = len(ledger(demo))
    assert "error_code" not in shell(page_block("People in MLflow", 0))
    wait_for(lambda: len(ledger(demo)) > before, "the registrar answers", timeout=60)
    row = ledger(demo)[-1]
    assert (row["action"], row["moved_by"], row["why"]) == ("demote", "ada", "the campaign is over")
    with demo.forwarded(f"{demo.name}-predict", 80) as url:
        wait_for(
            lambda: ask(f"{url}/predict", {"user_id": "nobody"})[0] == 503, "nothing is served", timeout=60
        )
    shell(page_block("Promote by command", 0))
    staged, promoted = ledger(demo)[-2:]
    assert (staged["alias"], promoted["alias"], promoted["to_version"]) == ("staging", "production", 1)
    assert [row["login"] for row in (staged, promoted)] == ["ada", "ada"]
    assert promoted["gate"]["verdict"] == "passed"
    wait_for(lambda: answers(demo), "it is served again", timeout=60)
    registrar(demo, "promotion", "resume", "--why", "the end of a test", "--by", "tests")


def test_a_person_who_may_only_read_has_data_frames_through_a_port_forward(demo):
    block = page_block("Where the data comes from", 0, "docs/notebook.md")
    said = shell(
        f"{block}until python -c 'import streamflow; streamflow.history()'; do sleep 1; done\n"
        "python -c 'import streamflow; print(len(streamflow.training_set()))'"
    )
    assert int(said.split()[-1]) > 0


def test_the_newest_row_is_signed_and_the_signature_is_in_a_config_map(demo):
    newest = ledger(demo)[-1]

    def copy():
        return demo.get(f"configmap/{demo.name}-registrar-head").get("data", {})

    wait_for(lambda: f'"{newest["hash"]}"' in copy().get("head.json", ""), "the row is signed", timeout=60)
    head = heads.from_json(copy()["head.json"])
    assert (head.promotion_id, head.hash) == (newest["promotion_id"], newest["hash"])
    assert heads.is_valid(head)
    assert copy()["public-key.pem"] == heads.pem_of(head.public_key)


@pytest.mark.fault("F10")
def test_new_replicas_of_predict_start_while_mlflow_is_away(demo, figures):
    scaler = f"horizontalpodautoscaler/{demo.name}-predict"
    held = demo.get(scaler)["spec"]
    demo.kubectl("scale", f"deployment/{demo.name}-mlflow", "--replicas=0")
    try:
        demo.kubectl(
            "wait", "--for=delete", "pod", "--selector=app.kubernetes.io/component=mlflow", "--timeout=120s"
        )
        bounds = {"spec": {"minReplicas": REPLICAS, "maxReplicas": max(REPLICAS, held["maxReplicas"])}}
        demo.kubectl("patch", scaler, "--patch", json.dumps(bounds))
        predict = "--selector=app.kubernetes.io/component=predict"
        demo.kubectl("delete", "pod", predict, "--wait=false")
        demo.kubectl("scale", f"deployment/{demo.name}-predict", f"--replicas={REPLICAS}")
        began = time.monotonic()

        def all_ready():
            pods = [pod for pod in demo.get("pods", predict) if not pod["metadata"].get("deletionTimestamp")]
            return len(pods) == REPLICAS and all(is_ready(pod) for pod in pods)

        wait_for(all_ready, "all replicas are ready", timeout=300)
        figures(f"{REPLICAS} replicas of predict without MLflow: ready in {time.monotonic() - began:.0f} s.")
        assert answers(demo)
    finally:
        demo.kubectl("scale", f"deployment/{demo.name}-mlflow", "--replicas=1")
        bounds = {"spec": {"minReplicas": held["minReplicas"], "maxReplicas": held["maxReplicas"]}}
        demo.kubectl("patch", scaler, "--patch", json.dumps(bounds))
        demo.kubectl("rollout", "status", f"deployment/{demo.name}-mlflow", "--timeout=300s", timeout=330)
