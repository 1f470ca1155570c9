"""kube-score and checkov find in the chart only what scanners.yaml accepts, where they are installed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from render import CONFIGURATIONS, RELEASE, program, render_text

ACCEPTED = yaml.safe_load(Path(__file__).with_name("scanners.yaml").read_text(encoding="utf-8"))
TOP = 10
"""kube-score's grade of an object that a check finds nothing in."""


def output(*command, given=""):
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(("{", "[")), done.stdout + done.stderr
    return json.loads(done.stdout)


def by_kube_score(manifests, _folder):
    """Pairs of check and object."""
    command = [
        program("kube-score"),
        "score",
        "--kubernetes-version",
        "v1.30",
        "--output-format",
        "json",
        "-",
    ]
    return {
        (check["check"]["id"], item["object_name"].rpartition("/")[2])
        for item in output(*command, given=manifests)
        for check in item["checks"]
        if not check["skipped"] and check["grade"] < TOP
    }


def by_checkov(manifests, folder):
    """Pairs of check and object."""
    (folder / "rendered.yaml").write_text(manifests, encoding="utf-8")
    command = [
        program("checkov"),
        "--directory",
        str(folder),
        "--framework",
        "kubernetes",
        "--output",
        "json",
    ]
    found = output(*command, "--compact", "--quiet", "--skip-download")["results"]["failed_checks"]
    return {(item["check_id"], item["resource"].rpartition(".")[2]) for item in found}


@pytest.mark.parametrize(("name", "scan"), [("kube-score", by_kube_score), ("checkov", by_checkov)])
def test_a_scanner_finds_only_what_is_accepted(name, scan, tmp_path):
    found = scan(render_text(**CONFIGURATIONS["default"]), tmp_path)
    objects = {}
    for check, item in found:
        objects.setdefault(check, set()).add(item.removeprefix(f"{RELEASE}-"))
    assert objects.keys() == ACCEPTED[name].keys()
    wanted = {check: set(own["objects"]) for check, own in ACCEPTED[name].items() if "objects" in own}
    assert {check: objects[check] for check in wanted} == wanted


def test_every_accepted_finding_has_a_reason():
    reasons = [own["reason"].strip() for checks in ACCEPTED.values() for own in checks.values()]
    assert [reason for reason in reasons if not reason.endswith(".")] == []
