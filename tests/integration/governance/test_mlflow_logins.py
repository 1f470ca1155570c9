"""MLflow with logins: what each role may do, and the name in the ledger of who moved a version."""

import base64
import json
import shutil
import urllib.error
import urllib.request
from typing import NamedTuple
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import WebDriverWait
from typer.testing import CliRunner

from streamflow import servers
from streamflow.backup.archive import pack, unpack
from streamflow.cli.main import app
from streamflow.errors import AccessDenied, DependencyDown, UsageError
from streamflow.gate import decision
from streamflow.mlflow_api import sdk
from streamflow.mlflow_api.transport import registry, tags_of
from streamflow.mlflow_server import accounts
from streamflow.model_version import asked
from streamflow.postgres.engine import engine
from streamflow.registrar.look import look
from streamflow.registry import trail
from streamflow.registry.promote import demote, promote
from streamflow.settings import PromotionSettings, Settings

MODEL = "streamflow_churn"
ADMIN, ALICE = ("admin", "an admin's password"), ("alice", "alice's own password")
ACCEPT = PromotionSettings(outside_moves="accept")
API = "/api/2.0/mlflow"


class Stack(NamedTuple):
    settings: Settings
    backend: Settings
    address: str
    folder: object

    def account(self, role, **changes):
        """The settings of a process that logs in with a role."""
        login = {"username": accounts.account_of(role), "password_file": self.folder / f"{role}-password"}
        mlflow = self.settings.mlflow.model_copy(
            update={"tracking_uri": self.address, "names_moves": True, **login, **changes}
        )
        return self.settings.model_copy(update={"mlflow": mlflow})

    def ask(self, login, method, path, body=None):
        """Status and answer of one request to MLflow."""
        request = urllib.request.Request(
            self.address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        if login:
            request.add_header(
                "Authorization", "Basic " + base64.b64encode(":".join(login).encode()).decode()
            )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                request, timeout=30
            ) as found:
                return found.status, found.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def login(self, role):
        return accounts.account_of(role), (self.folder / f"{role}-password").read_text()


@pytest.fixture(scope="module")
def passwords(tmp_path_factory):
    """A folder as the chart mounts the Secret of the accounts."""
    folder = tmp_path_factory.mktemp("accounts")
    for name in ("admin", *accounts.ROLES):
        (folder / f"{name}-password").write_text(ADMIN[1] if name == "admin" else f"the {name}'s password")
    return folder


@pytest.fixture(scope="module")
def stack(module_settings, start_mlflow, passwords, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow_with_logins")
    mlflow = module_settings.mlflow.model_copy(update={"registered_model": MODEL})
    settings = module_settings.model_copy(update={"mlflow": mlflow})
    name = f"{settings.database.name}_mlflow"
    with engine(settings.database).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    backend = settings.model_copy(update={"database": settings.database.model_copy(update={"name": name})})
    with start_mlflow(backend, folder, passwords) as address:
        yield Stack(settings, backend, address, passwords)


@pytest.fixture(scope="module")
def version(stack, register):
    """A version that the account of the job `train` registered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sdk, "_client", sdk._client.__wrapped__)
        return register(stack.account("trainer"))


@pytest.fixture(scope="module")
def alice(stack):
    """A person with the role promoter, as an administrator makes one."""
    made = {"username": ALICE[0], "password": ALICE[1]}
    assert stack.ask(ADMIN, "POST", f"{API}/users/create", made)[0] == 200
    roles = json.loads(stack.ask(ADMIN, "GET", "/api/3.0/mlflow/roles/list")[1])["roles"]
    role = next(each["id"] for each in roles if each["name"] == "promoter")
    assigned = {"username": ALICE[0], "role_id": role}
    assert stack.ask(ADMIN, "POST", "/api/3.0/mlflow/roles/assign", assigned)[0] == 200
    return ALICE


def stage(version, name):
    return {"name": MODEL, "version": str(version), "stage": name}


def alias(version, name="production"):
    return {"name": MODEL, "version": str(version), "alias": name}


MOVES = {
    "a stage": ("POST", "model-versions/transition-stage", lambda v: stage(v, "Staging")),
    "an alias": ("POST", "registered-models/alias", alias),
    "an alias away": ("DELETE", "registered-models/alias", lambda v: {"name": MODEL, "alias": "production"}),
    "a version away": ("DELETE", "model-versions/delete", lambda v: {"name": MODEL, "version": str(v)}),
    "the model away": ("DELETE", "registered-models/delete", lambda v: {"name": MODEL}),
    "the description": (
        "PATCH",
        "model-versions/update",
        lambda v: {"name": MODEL, "version": str(v), "description": "x"},
    ),
    "a promoter's reason": (
        "POST",
        "model-versions/set-tag",
        lambda v: {"name": MODEL, "version": str(v), "key": "reason", "value": "theirs"},
    ),
    "the ledger's tag": (
        "POST",
        "registered-models/set-tag",
        lambda v: {"name": MODEL, "key": "streamflow.audit", "value": "1:0"},
    ),
}


@pytest.mark.parametrize("root", ["/api/2.0/mlflow", "/ajax-api/2.0/mlflow"])
@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("role", ["viewer", "trainer"])
def test_only_promoters_move_and_remove_versions(stack, version, role, move, root):
    method, path, body = MOVES[move]
    status, answer = stack.ask(stack.login(role), method, f"{root}/{path}", body(version))
    assert status == 403, answer
    if role == "trainer" and not move.endswith("away"):
        assert "lacks the role 'promoter'" in json.loads(answer)["message"]


@pytest.mark.parametrize("name", [MODEL, "another"])
def test_nobody_renames_the_model_or_changes_what_a_version_is(stack, version, name):
    stack.ask(ADMIN, "POST", f"{API}/registered-models/create", {"name": "another"})
    names = {"name": name, "new_name": "other" if name == MODEL else MODEL}
    status, answer = stack.ask(ADMIN, "POST", f"{API}/registered-models/rename", names)
    assert (status, "keeps its name" in answer) == (403, True)
    for method, path, value in (("POST", "set-tag", {"value": "0"}), ("DELETE", "delete-tag", {})):
        tag = {"name": MODEL, "version": str(version), "key": "streamflow.manifest_sha256", **value}
        status, answer = stack.ask(ADMIN, method, f"{API}/model-versions/{path}", tag)
        assert (status, "never changes" in answer) == (403, True)


@pytest.mark.parametrize("path", ["registered-models/create", "experiments/create"])
def test_a_viewer_creates_nothing_and_a_trainer_does(stack, version, path):
    assert stack.ask(stack.login("viewer"), "POST", f"{API}/{path}", {"name": "theirs"})[0] == 403
    assert stack.ask(stack.login("trainer"), "POST", f"{API}/{path}", {"name": "theirs"})[0] == 200


def test_a_trainer_deletes_no_files(stack, version):
    path = "/api/2.0/mlflow-artifacts/artifacts/1"
    status, answer = stack.ask(stack.login("trainer"), "DELETE", path)
    assert (status, "delete files" in answer) == (403, True)


@pytest.mark.parametrize("login", [None, ADMIN])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ajax-api/3.0/mlflow/assistant/config"),
        ("PUT", "/ajax-api/3.0/mlflow/assistant/config"),
        ("POST", "/ajax-api/3.0/mlflow/assistant/message"),
        ("POST", "/ajax-api/2.0/mlflow/gateway-proxy"),
        ("GET", "/ajax-api/3.0/jobs/1"),
    ],
)
def test_what_runs_commands_is_closed_to_everybody(stack, method, path, login):
    status, answer = stack.ask(login, method, path, {} if method != "GET" else None)
    assert (status, "does not offer this" in answer) == (403, True)


def test_what_runs_commands_is_closed_without_logins_too(mlflow_server):
    stack = Stack(None, None, mlflow_server, None)
    assert stack.ask(None, "GET", "/ajax-api/3.0/mlflow/assistant/config")[0] == 403
    assert stack.ask(None, "GET", f"{API}/experiments/search?max_results=1")[0] == 200


def test_without_a_login_mlflow_answers_nothing_but_its_health_and_its_metrics(stack, version):
    assert stack.ask(None, "GET", f"{API}/registered-models/get?name={MODEL}")[0] == 401
    assert (
        stack.ask(("admin", "wrong password"), "GET", f"{API}/registered-models/get?name={MODEL}")[0] == 401
    )
    assert stack.ask(None, "GET", "/")[0] == 401
    assert stack.ask(None, "GET", "/health") == (200, "OK")
    status, metrics = stack.ask(None, "GET", "/metrics")
    assert (status, "mlflow_http_request" in metrics) == (200, True)


def test_an_account_without_a_role_sees_nothing(stack, version):
    made = {"username": "nobody", "password": "nobody's password"}
    assert stack.ask(ADMIN, "POST", f"{API}/users/create", made)[0] == 200
    found = stack.ask(tuple(made.values()), "GET", f"{API}/registered-models/get?name={MODEL}")
    assert found[0] == 403
    assert stack.ask(stack.login("viewer"), "GET", f"{API}/registered-models/get?name={MODEL}")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "model-versions/set-tag", {"version": "1", "key": asked.STAGE, "value": "x"}),
        ("DELETE", "model-versions/delete-tag", {"version": "1", "key": asked.STAGE}),
        ("POST", "registered-models/set-tag", {"key": asked.alias_tag("production"), "value": "x"}),
        ("DELETE", "registered-models/delete-tag", {"key": asked.alias_tag("production")}),
        (
            "POST",
            "model-versions/create",
            {"source": "mlflow-artifacts:/x", "tags": [{"key": asked.STAGE, "value": "x"}]},
        ),
        ("POST", "registered-models/create", {"tags": [{"key": asked.STAGE, "value": "x"}]}),
    ],
)
def test_nobody_writes_the_names_of_others(stack, version, method, path, body):
    status, answer = stack.ask(ADMIN, method, f"{API}/{path}", {"name": MODEL, **body})
    assert status == 403, answer
    assert "MLflow's server alone" in answer


def test_the_ledger_has_the_name_and_the_reason_of_who_moves_a_version_in_mlflow(stack, version, alice):
    registrar = stack.account("promoter")

    def rows():
        return look(registrar.backends, ACCEPT)

    assert rows() == []
    tag = {"name": MODEL, "version": str(version), "key": "reason", "value": "the spring campaign"}
    assert stack.ask(alice, "POST", f"{API}/model-versions/set-tag", tag)[0] == 200
    assert (
        stack.ask(alice, "POST", f"{API}/model-versions/transition-stage", stage(version, "staging"))[0]
        == 200
    )
    (row,) = rows()
    assert (row.alias, row.to_version, row.moved_by, row.why) == (
        "staging",
        version,
        "alice",
        "the spring campaign",
    )
    assert stack.ask(alice, "POST", f"{API}/registered-models/alias", alias(version))[0] == 200
    (row,) = rows()
    assert (row.alias, row.to_version, row.moved_by) == ("production", version, "alice")
    # The first reason was for the first move.
    assert row.why == "the alias was moved in MLflow"
    with registry(registrar.mlflow) as client:
        shown = client.version(MODEL, version)
    assert shown["description"].startswith("At production since") and "by alice" in shown["description"]
    taken = {"name": MODEL, "alias": "production"}
    assert stack.ask(alice, "DELETE", f"{API}/registered-models/alias", taken)[0] == 200
    (row,) = rows()
    assert (row.action, row.moved_by, row.to_version) == ("demote", "alice", None)
    assert rows() == []
    assert trail.history(registrar.database, MODEL)[-1].facts["asked_at"]


def test_a_name_counts_only_where_mlflows_server_writes_it(stack, version, alice):
    """Where MLflow is somebody else's, anybody may write such a tag."""
    registrar = stack.account("promoter", names_moves=False)
    look(registrar.backends, ACCEPT)
    assert (
        stack.ask(alice, "POST", f"{API}/model-versions/transition-stage", stage(version, "Staging"))[0]
        == 200
    )
    assert [row.moved_by for row in look(registrar.backends, ACCEPT)] == ["unknown"]
    assert (
        stack.ask(alice, "POST", f"{API}/model-versions/transition-stage", stage(version, "None"))[0] == 200
    )
    look(registrar.backends, ACCEPT)


def test_a_training_promotes_and_the_registrar_brings_mlflow_in_line(stack, version):
    trainer, registrar = stack.account("trainer"), stack.account("promoter")
    look(registrar.backends, ACCEPT)
    moved = promote(trainer.backends, version, "staging", why="a test", by="train")
    with registry(registrar.mlflow) as client:
        assert client.version(MODEL, version)["current_stage"] == "None"
        assert look(registrar.backends, ACCEPT) == []
        assert client.version(MODEL, version)["current_stage"] == "Staging"
    demote(registrar.backends, "staging", expected=moved.to_version, why="the end of a test", by="ada")


def test_the_registrar_may_store_the_report_of_the_gate(stack, version):
    registrar = stack.account("promoter")
    report = decision.decide(registrar.backends, PromotionSettings(), version)
    with registry(registrar.mlflow) as client:
        registered = client.version(MODEL, version)
        assert tags_of(registered)["streamflow.gate"] == report.verdict
        folder = registered["source"].rpartition("/")[0]
        assert client.file(folder, f"{report.artifact}.json", 1_000_000) == report.text.encode()


def test_a_viewer_backs_up_the_files_of_versions_and_a_trainer_restores_them(stack, version, tmp_path):
    archive = tmp_path / "files.tar"
    with registry(stack.account("viewer").mlflow) as client:
        sources = {int(item["version"]): str(item["source"]) for item in client.versions(MODEL)}
        packed = pack(client, sources, archive)
        assert packed.versions == (version,) and len(packed.digests) > 5
        with pytest.raises(AccessDenied):
            unpack(client, archive)
    with registry(stack.account("trainer").mlflow) as client:
        assert unpack(client, archive) == len(packed.digests)


@pytest.fixture
def browser():
    """Chromium without a window."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("Chromium or its driver is not on PATH; 'scripts/browser' installs them")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1000"):
        options.add_argument(argument)
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


def test_a_person_who_clicks_a_stage_in_mlflows_page_is_in_the_ledger(stack, version, alice, browser):
    registrar = stack.account("promoter")
    look(registrar.backends, ACCEPT)
    user, password = (quote(part, safe="") for part in alice)
    browser.get(stack.address.replace("http://", f"http://{user}:{password}@"))
    # The page's own requests may not have a login in their address; the browser remembers it.
    browser.get("about:blank")
    browser.get(f"{stack.address}/#/models/{MODEL}/versions/{version}")

    def click(kind, selector):
        wait = WebDriverWait(browser, 60, ignored_exceptions=[StaleElementReferenceException])
        wait.until(expected_conditions.element_to_be_clickable((kind, selector))).click()

    # Stages are in the page of the earlier registry.
    click(By.CSS_SELECTOR, "button[role=switch][aria-label='New model registry UI']")
    click(By.XPATH, "//button[.='Disable']")
    click(By.CSS_SELECTOR, ".mlflow-stage-transition-dropdown")
    click(By.XPATH, "//*[@role='menuitem' and contains(., 'Staging')]")
    click(By.XPATH, "//*[@role='dialog']//button[.='OK']")
    WebDriverWait(browser, 60).until(
        expected_conditions.text_to_be_present_in_element(
            (By.CSS_SELECTOR, ".mlflow-stage-transition-dropdown"), "Staging"
        )
    )
    (row,) = look(registrar.backends, ACCEPT)
    assert (row.alias, row.to_version, row.moved_by, row.facts["detected"]) == (
        "staging",
        version,
        "alice",
        "stage",
    )


@pytest.mark.parametrize("login", [{"username": ""}, {"username": "ghost"}])
def test_a_registrar_without_a_login_says_so_and_refuses_nothing(stack, version, login):
    registrar = stack.account("promoter", **login)
    with pytest.raises(DependencyDown, match="does not allow this account the request") as failure:
        look(registrar.backends, ACCEPT)
    assert "STREAMFLOW_MLFLOW__USERNAME" in failure.value.hint


def test_passwords_follow_the_secret_and_short_ones_are_refused(stack, tmp_path, monkeypatch):
    # As in the chart's pod, where the server makes the folder later.
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "absent"))
    for name in ("admin", *accounts.ROLES):
        (tmp_path / f"{name}-password").write_text("another password")
    servers.upgrade_mlflow(stack.backend, tmp_path)
    try:
        with registry(stack.account("viewer", password_file=tmp_path / "viewer-password").mlflow) as client:
            assert client.model(MODEL)
    finally:
        servers.upgrade_mlflow(stack.backend, stack.folder)
    (tmp_path / "viewer-password").write_text("short")
    with pytest.raises(UsageError, match="viewer-password has 5 characters"):
        servers.upgrade_mlflow(stack.backend, tmp_path)
    (tmp_path / "viewer-password").unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        servers.upgrade_mlflow(stack.backend, tmp_path)


def test_the_command_line_says_which_account_it_needs(stack, version, monkeypatch):
    monkeypatch.setenv("STREAMFLOW_HOME", str(stack.settings.home))
    monkeypatch.setenv("STREAMFLOW_MLFLOW__TRACKING_URI", stack.address)
    monkeypatch.setenv("STREAMFLOW_MLFLOW__REGISTERED_MODEL", MODEL)
    found = CliRunner().invoke(app, ["models", "list"])
    assert isinstance(found.exception, DependencyDown)
    assert found.exception.what.endswith("does not allow this account the request (it asks for a login).")
