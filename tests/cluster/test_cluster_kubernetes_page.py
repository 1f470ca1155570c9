"""The command blocks of docs/kubernetes.md that no other test runs, in the page's order, in the README's installation.

tests/docs/test_kubernetes_page.py holds that each block of the page is run by a test, or cannot be, and why.
"""

import base64
import json
import subprocess
import time

import pytest
from kubernetes_cli import CHART, any_entity, ask, run, wait_for
from page_shell import commands, filled, page_block, shell

IN_POD = "/run/secrets/streamflow/password"


def images(release):
    """Images of the installation's pods and of its CronJobs' pods."""
    pods = [item["spec"]["jobTemplate"]["spec"]["template"]["spec"] for item in release.get("cronjobs")]
    pods += [pod["spec"] for pod in release.pods()]
    return {container["image"] for pod in pods for container in pod["containers"]}


def rolled_out(release, *names):
    """Wait until the new pods of Deployments have taken the place of the old ones."""
    for name in names:
        wanted = f"deployment/{release.name}-{name}"
        release.kubectl("rollout", "status", wanted, "--timeout=300s", timeout=330)


def test_before_you_start_the_commands_point_at_the_cluster(demo):
    block = filled(page_block("Before you start", 0), {"make setup": "make --silent setup"})
    current = run("kubectl", "config", "current-context").strip()
    assert shell(f"{block}command -v streamflow\n").split()[-2:-1] == [current]


def test_the_target_install_upgrades_with_the_given_values(demo, tmp_path):
    """The fixtures ran the block's other targets, as the README gives them."""
    values = tmp_path / "values.json"
    given = run("helm", "get", "values", demo.name, "--namespace", demo.namespace, "--output", "json")
    values.write_text(given, encoding="utf-8")
    block = filled(page_block("Install", 0), {"make cluster-up images load install": "make install"})
    # Without CLUSTER_TOOL, the script leaves kubectl and helm as they are.
    said = shell(block, timeout=900, VALUES=str(values), CLUSTER_TOOL="", NAMESPACE=demo.namespace)
    assert "STATUS: deployed" in said


def test_an_install_from_a_registry_is_accepted_and_helm_test_predicts_once(demo):
    install, test = commands(page_block("Install", 1))
    accepted = shell(f"{install} --dry-run=server")
    assert "image: registry.example.com/streamflow/predict:" in accepted
    assert "Succeeded" in shell(test)


def test_the_images_of_an_install_are_listed(demo, tmp_path):
    (tmp_path / "values.yaml").write_text("demo: {enabled: true}\n", encoding="utf-8")
    listed = shell(page_block("Images", 0), {"my-values.yaml": tmp_path / "values.yaml"})
    assert set(listed.split()) == images(demo)


def test_the_secret_of_an_object_store_has_its_endpoint_and_credentials(demo):
    shell(page_block("Bring drops", 1), {"…": "x"})
    keys = {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert set(demo.get("secret", "drops-store")["data"]) == keys
    demo.kubectl("delete", "secret", "drops-store")


def test_jobs_are_listed_run_and_logged(demo):
    listed, ran, logged, created = commands(page_block("Jobs", 0))
    # First, because there is no log of `train` before its first run.
    shell(created)
    assert all(name in shell(listed) for name in ("ingest", "restore", "promote"))
    assert '"outcome": "done"' in shell(ran)
    assert '"outcome": "done"' in shell(logged)
    assert demo.kubectl("wait", "--for=condition=complete", "job/train-now", "--timeout=60s")


def test_predict_mlflow_and_feast_are_asked_through_port_forwards(demo):
    said = shell(page_block("Ask", 0))
    assert '"probability"' in said
    assert '"PRESENT"' in said


def test_predict_asks_for_a_key_once_there_are_keys(demo, tmp_path, monkeypatch):
    new, create, upgrade = commands(page_block("API keys", 0))
    said = dict(line.split(": ", 1) for line in shell(new).splitlines())
    lines = tmp_path / "lines.txt"
    lines.write_text(said["Line for the file"].strip() + "\n", encoding="utf-8")
    key = said["Key, shown this once"].strip()
    shell(create, {"lines.txt": lines, "sf_…": key})
    shell(upgrade)
    try:
        rolled_out(demo, "predict")
        person = {"user_id": any_entity(demo)}
        with demo.forwarded(f"{demo.name}-predict", 80) as url:
            assert ask(f"{url}/predict", person)[0] == 401
            header = f"authorization: Bearer {key}"
            answer = run("curl", "-s", f"{url}/predict", "-H", header, "-d", json.dumps(person))
        assert 0 <= json.loads(answer)["probability"] <= 1
    finally:
        demo.helm("upgrade", CHART, "--reuse-values", "--set", "predict.apiKeys.existingSecret=")
        rolled_out(demo, "predict")
        demo.kubectl("delete", "secret", "predict-keys")


def password(release, key):
    found = release.get("secret", f"{release.name}-database")["data"][f"{key}-password"]
    return base64.b64decode(found).decode()


def brought_to_the_pod(release, pod, wanted):
    """Have the kubelet look at a pod now, which it otherwise does within two minutes; then read the file."""
    release.kubectl("annotate", "--overwrite", pod, f"looked={time.time()}")
    return release.kubectl("exec", pod, "--", "cat", IN_POD).strip() == wanted


def test_database_passwords_change_as_the_page_says(demo):
    patch, sleep, *upgrade_and_restart = commands(page_block("Change a database password", 0))
    assert sleep.startswith("sleep 120 ")
    patch_admin = filled(patch, {"predict-password": "admin-password", "…": "another-admin"})
    shell("\n".join([filled(patch, {"…": "another-predict"}), patch_admin]))
    server = f"pod/{demo.name}-postgresql-0"
    wait_for(lambda: brought_to_the_pod(demo, server, "another-admin"), "the file is new", timeout=180)
    assert "ALTER ROLE" in shell(page_block("Change a database password", 1))
    shell("\n".join(upgrade_and_restart))
    login = [
        "env", "PGPASSWORD=another-predict", "psql", "-XAtq", "-h", "127.0.0.1", "-d", "streamflow",
        "-U", "streamflow_predict", "-c", "SELECT 1",
    ]  # fmt: skip

    def altered():
        done = demo.kubectl("exec", server, "--", *login, check=False)
        return done.stdout.strip() == "1"

    wait_for(altered, "the migration Job has altered the role", timeout=300)
    assert password(demo, "admin") == "another-admin"
    rolled_out(demo, "mlflow", "feast")
    assert '"probability"' in shell(page_block("Ask", 0))


def test_a_secret_with_a_certificate_of_the_server(demo, tmp_path):
    names = {"-keyout": tmp_path / "tls.key", "-out": tmp_path / "tls.crt"}
    options = [str(part) for pair in names.items() for part in pair]
    subject = ["-subj", f"/CN={demo.name}-postgresql"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *options, *subject]
    subprocess.run(made, check=True, capture_output=True)
    (tmp_path / "ca.crt").write_bytes((tmp_path / "tls.crt").read_bytes())
    shell(f"cd {tmp_path}\n" + page_block("TLS to the database", 1))
    assert set(demo.get("secret", "postgresql-certificate")["data"]) == {"tls.crt", "tls.key", "ca.crt"}
    demo.kubectl("delete", "secret", "postgresql-certificate")


@pytest.mark.usefixtures("cluster")
def test_the_roles_for_an_administrator_are_printed():
    said = shell(page_block("Another database", 0))
    assert "CREATE ROLE" in said
    assert "streamflow_predict" in said
