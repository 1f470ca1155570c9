"""The chart looks up existing passwords in a cluster, with rights in the release's namespace only."""

import base64
import contextlib
import http.server
import json
import subprocess
import threading

import pytest
import yaml
from render import CHART, NAMESPACE, RELEASE, parsed, pick, program

SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
DISCOVERY = {
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {"name": "secrets", "kind": "Secret", "namespaced": True, "verbs": ["get", "list"]},
            {"name": "namespaces", "kind": "Namespace", "namespaced": False, "verbs": ["get", "list"]},
        ],
    }
}


def failure(code, reason):
    return code, {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}


@contextlib.contextmanager
def cluster(answers, tmp_path):
    """Run an API server that answers these paths and forbids all others.

    Yields the list of requested paths and the path of a kubeconfig.
    """
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.split("?")[0]
            asked.append(path)
            code, body = answers.get(path, failure(403, "Forbidden"))
            if path in DISCOVERY:
                code, body = 200, DISCOVERY[path]
            text = json.dumps({"apiVersion": "v1", **body}).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            """Do not log; `asked` has the requested paths."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
        config = {"apiVersion": "v1", "kind": "Config", "clusters": [address], "contexts": [context]}
        file = tmp_path / "kubeconfig"
        file.write_text(
            yaml.safe_dump(config | {"users": [{"name": "u", "user": {}}], "current-context": "x"})
        )
        try:
            yield asked, str(file)
        finally:
            server.shutdown()


GENERATED = ("streamflow-database", "streamflow-erasure", "streamflow-mlflow", "streamflow-registrar")


def rendered(kubeconfig, *more, names=GENERATED):
    """Render the chart as an installation does, with lookups in a cluster; return the passwords."""
    seeing = ("--dry-run=server", "--kubeconfig", kubeconfig)
    done = subprocess.run(
        [program("helm"), "template", RELEASE, str(CHART), "--namespace", NAMESPACE, *seeing, *more],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return {
        key: base64.b64decode(value).decode()
        for name in names
        for key, value in pick(parsed(done.stdout), "Secret", name)["data"].items()
    }


MISSING = failure(404, "NotFound")
NO_SECRETS = (200, {"kind": "SecretList", "metadata": {}, "items": []})


def test_a_first_install_generates_passwords_and_looks_up_nothing_outside_its_namespace(tmp_path):
    """This includes a namespace that does not exist yet: listing its Secrets succeeds and returns none."""
    names = ("database", "erasure", "mlflow", "registrar")
    missing = {f"{SECRETS}/streamflow-{name}": MISSING for name in names}
    with cluster(missing | {SECRETS: NO_SECRETS}, tmp_path) as (asked, config):
        first, second = rendered(config), rendered(config)
    assert first != second
    assert first.pop("signing-key").startswith("-----BEGIN PRIVATE KEY-----")
    assert len(first.pop("erasure-key")) == 48
    assert {len(password) for password in first.values()} == {32}
    assert set(asked) - set(DISCOVERY) == {SECRETS, *missing}


def test_an_upgrade_keeps_existing_passwords_and_lists_no_secrets(tmp_path):
    held = {"predict-password": base64.b64encode(b"of-yesterday").decode()}
    secret = (200, {"kind": "Secret", "metadata": {"name": "streamflow-database"}, "data": held})
    accounts = {"trainer-password": base64.b64encode(b"of-last-year").decode()}
    login = (200, {"kind": "Secret", "metadata": {"name": "streamflow-mlflow"}, "data": accounts})
    key = {"signing-key": base64.b64encode(b"of-the-first-day").decode()}
    signing = (200, {"kind": "Secret", "metadata": {"name": "streamflow-registrar"}, "data": key})
    key = {"erasure-key": base64.b64encode(b"of-the-first-erasure").decode()}
    erasure = (200, {"kind": "Secret", "metadata": {"name": "streamflow-erasure"}, "data": key})
    answers = {
        f"{SECRETS}/streamflow-database": secret,
        f"{SECRETS}/streamflow-erasure": erasure,
        f"{SECRETS}/streamflow-mlflow": login,
        f"{SECRETS}/streamflow-registrar": signing,
    }
    with cluster(answers, tmp_path) as (asked, config):
        passwords = rendered(config)
    assert passwords["trainer-password"] == "of-last-year"
    assert passwords["predict-password"] == "of-yesterday"
    # Another key would let in whoever was erased.
    assert passwords["erasure-key"] == "of-the-first-erasure"
    assert passwords["signing-key"] == "of-the-first-day"
    assert len(passwords["train-password"]) == 32
    assert set(asked) - set(DISCOVERY) == set(answers)


def test_prefect_keeps_its_login_and_gets_a_password_of_the_database(tmp_path):
    login = {"auth-string": base64.b64encode(b"ada:of-yesterday").decode()}
    held = (200, {"kind": "Secret", "metadata": {"name": "streamflow-prefect"}, "data": login})
    answers = {f"{SECRETS}/{name}": MISSING for name in GENERATED} | {SECRETS: NO_SECRETS}
    names = (*GENERATED, "streamflow-prefect")
    with cluster(answers | {f"{SECRETS}/streamflow-prefect": held}, tmp_path) as (_, config):
        passwords = rendered(config, "--set=prefect.enabled=true", names=names)
    assert passwords["auth-string"] == "ada:of-yesterday"
    assert len(passwords["prefect-password"]) == 32


def test_without_rights_to_read_secrets_the_render_fails_instead_of_generating_passwords(tmp_path):
    with cluster({}, tmp_path) as (_, config), pytest.raises(AssertionError, match=r"(?i)forbidden"):
        rendered(config)
