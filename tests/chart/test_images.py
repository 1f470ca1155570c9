"""Dockerfiles, Skaffold configuration and chart package, without building anything."""

import re

import pytest
import yaml
from render import ROOT, program

IMAGES = ("predict", "platform", "prefect")


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_built_in_two_stages_from_a_hashed_lock_and_runs_as_nobody(name):
    text = (ROOT / "images" / name / "Dockerfile").read_text(encoding="utf-8")
    assert not text.startswith("# syntax"), "a syntax line would be pulled from a registry"
    assert text.count("FROM ${PYTHON_IMAGE}") == 2
    assert "ARG PYTHON_IMAGE=python:3.13-slim-trixie" in text
    assert "--require-hashes" in text
    assert f"requirements/{name}.txt" in text
    user = re.search(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    assert user
    assert int(user[1]) > 10000
    final = text.rpartition("FROM ${PYTHON_IMAGE}")[2]
    assert "apt-get" not in final
    assert "pip install" not in final
    assert (ROOT / "images" / name / "README.md").is_file()


def test_the_build_context_contains_all_that_the_dockerfiles_copy():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name in IMAGES:
        text = (ROOT / "images" / name / "Dockerfile").read_text(encoding="utf-8")
        for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
            for source in line.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source.split("/")[0] in allowed, source


def test_skaffold_builds_what_the_chart_installs():
    config = yaml.safe_load((ROOT / "skaffold.yaml").read_text(encoding="utf-8"))
    assert config["apiVersion"].startswith("skaffold/v4beta")
    assert {a["image"] for a in config["build"]["artifacts"]} == {f"streamflow/{name}" for name in IMAGES}
    for artifact in config["build"]["artifacts"]:
        assert (ROOT / artifact["docker"]["dockerfile"]).is_file()
    release = config["deploy"]["helm"]["releases"][0]
    assert (ROOT / release["chartPath"] / "Chart.yaml").is_file()
    assert all((ROOT / file).is_file() for file in release["valuesFiles"])


def test_the_packaged_chart_contains_real_files_and_renders_the_same(tmp_path):
    import subprocess
    import tarfile

    from render import CHART, EXISTING, NAMESPACE, RELEASE, render_text

    helm = program("helm")
    subprocess.run(
        [helm, "package", str(CHART), "--destination", str(tmp_path)], check=True, capture_output=True
    )
    package = next(tmp_path.glob("*.tgz"))
    with tarfile.open(package) as archive:
        members = archive.getmembers()
    assert all(member.isfile() for member in members)
    assert "streamflow/jobs/train.yaml" in {member.name for member in members}
    done = subprocess.run(
        [helm, "template", RELEASE, str(package), "--namespace", NAMESPACE, "--set", ",".join(EXISTING)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == render_text(*EXISTING)


def test_helm_lint_is_clean():
    import subprocess

    from render import CHART, EXISTING

    done = subprocess.run(
        [program("helm"), "lint", "--strict", str(CHART), "--set", ",".join(EXISTING)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
