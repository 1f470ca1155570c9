"""Feast's own commands in feature_repo against a running stack, as docs/feature-repo.md describes."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import time

import pytest
from program import ROOT, http

from streamflow.local import home

VIEWS = ("subs_profile_fv", "usage_agg_30d_fv", "payments_agg_90d_fv", "support_agg_90d_fv")


@pytest.fixture(scope="module")
def feast(world):
    """Run a `feast` command after sourcing `stack.env`, as in a user's shell."""

    def run(*arguments: str) -> str:
        script = f". {shlex.quote(str(world.program.home / 'stack.env'))} && feast {shlex.join(arguments)}"
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=ROOT / "feature_repo",
            env=world.program.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout

    return run


def test_feast_apply_and_list_know_the_feature_views(feast):
    said = feast("apply")
    listed = feast("feature-views", "list")
    for view in VIEWS:
        assert view in said
        assert view in listed


def test_feast_materialize_leaves_the_online_store_as_streamflow_fills_it(feast, world):
    user = (world.drops[1].folder / "users.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[0]
    before = http(f"{world.predict}/features/{user}")[1]["features"]
    feast("materialize", "2024-01-01T00:00:00", "2024-03-01T00:00:00")
    status, after = http(f"{world.predict}/features/{user}")
    assert status == 200
    assert after["features"] == before


@pytest.mark.parametrize("path", ["push", "write-to-online-store", "materialize", "materialize-incremental"])
def test_the_server_without_keys_takes_no_writes_and_says_how_it_would(world, path):
    status, document = http(f"{world.stack.url('feast')}/{path}", {"end_ts": "2024-03-01T00:00:00"})
    assert (status, document["code"]) == (403, "forbidden")
    assert "STREAMFLOW_FEAST__API_KEYS_FILE" in document["detail"]


@pytest.fixture
def ui(world, tmp_path):
    """The address of `feast ui`, as docs/feature-repo.md starts it."""
    with home.choosing_ports():
        port = home.free_port(18888)
        script = (
            f". {shlex.quote(str(world.program.home / 'stack.env'))} && exec feast ui -h 127.0.0.1 -p {port}"
        )
        with (tmp_path / "ui.log").open("wb") as log:
            process = subprocess.Popen(
                ["sh", "-c", script],
                cwd=ROOT / "feature_repo",
                env=world.program.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while http(address)[0] != 200 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
    assert process.poll() is None, (tmp_path / "ui.log").read_text()
    yield address
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)


def test_feast_ui_gives_its_page_and_the_registry(ui):
    status, page = http(ui)
    assert status == 200
    (script,) = re.findall(r'src="(/static/js/main[^"]+)"', page)
    assert http(ui + script)[0] == 200
    projects = http(f"{ui}/projects-list.json")[1]["projects"]
    assert "streamflow" in [project["id"] for project in projects]
    views = http(f"{ui}/api/v1/feature_views?project=streamflow")[1]["featureViews"]
    described = {view["spec"]["name"]: view["spec"]["description"] for view in views}
    assert set(described) == set(VIEWS)
    assert all(described.values())
