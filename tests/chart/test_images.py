"""Dockerfiles, Skaffold configuration and chart package, without building anything."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from render import ROOT, containers, pod_specs, program, render

IMAGES = ("predict", "platform", "prefect")
INSTALLED = ["postgres:17", *(f"streamflow/{name}:0.1.0" for name in sorted(IMAGES))]


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


def test_the_image_of_spark_is_the_platforms_with_spark_and_java_and_runs_as_nobody():
    """It may install packages of Debian in its last stage, which the others may not."""
    text = (ROOT / "images" / "spark" / "Dockerfile").read_text(encoding="utf-8")
    platform = (ROOT / "images" / "platform" / "Dockerfile").read_text(encoding="utf-8")
    shared = platform.partition("AS dependencies\n")[2].partition("\nFROM ")[0]
    assert f"AS dependencies\n{shared}\nFROM " in text, "the images share no layer"
    commands = re.split(r"\n(?=[A-Z])| && ", text.replace("\\\n", " "))
    installs = [command for command in commands if re.search(r"pip .*install", command)]
    assert len(installs) == 5
    for command in installs:
        assert ("--require-hashes" in command) != ("--no-index" in command), command
    assert "ARG JAVA=openjdk-21-jre-headless\n" in text
    assert text.rstrip().endswith(
        'USER 10001:10001\nENTRYPOINT ["/opt/entrypoint"]\nCMD ["streamflow", "--help"]'
    )
    assert (ROOT / "images" / "spark" / "README.md").is_file()


def test_images_of_spark_are_built_only_if_named():
    shown = {
        target: subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for target in ("images", "image-spark")
    }
    assert "spark" not in shown["images"]
    assert [line.split()[-2:] for line in shown["image-spark"].splitlines()[-3:]] == [
        [f"images/{name}", "spark"] for name in ("build.sh", "sizes.py", "sbom.py")
    ]


@pytest.mark.parametrize("built", [True, False])
def test_a_cluster_gets_the_images_of_prefect_and_spark_only_if_they_were_built(built, tmp_path):
    """Few installs need them."""
    for name, script in (("docker", f"exit {int(not built)}"), ("tool", 'echo "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [ROOT / "images" / "cluster.sh", "load"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "CLUSTER_TOOL": str(tmp_path / "tool"), "TAG": "t1"},
        check=True,
        capture_output=True,
        text=True,
    )
    further = ["streamflow/prefect:t1", "streamflow/spark:t1"] * built
    loaded = ["streamflow/predict:t1", "streamflow/platform:t1", *further]
    assert done.stdout.split() == ["load", *loaded, "postgres:17"]


def test_the_packaged_chart_contains_real_files_and_renders_the_same(tmp_path):
    import tarfile

    from render import CHART, EXISTING, JOBS, render_text

    package = [program("helm"), "package", str(CHART), "--destination", str(tmp_path)]
    subprocess.run(package, check=True, capture_output=True)
    package = next(tmp_path.glob("*.tgz"))
    with tarfile.open(package) as archive:
        members = archive.getmembers()
    assert all(member.isfile() for member in members)
    assert {f"streamflow/jobs/{name}.yaml" for name in JOBS} <= {member.name for member in members}
    assert render_text(*EXISTING, chart=package) == render_text(*EXISTING)


def test_the_chart_contains_no_link():
    """Some tools leave links out of what they copy, such as Flux."""
    from render import CHART

    assert [path for path in CHART.rglob("*") if path.is_symlink()] == []


@pytest.fixture
def commands(tmp_path):
    """Run a block of commands about images from the page about Kubernetes, some of its programs replaced by echo."""
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    section = page.split("\n## Images\n")[1].split("\n## ")[0]
    found = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)

    def run(index, stubs):
        for name in stubs:
            (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
            (tmp_path / name).chmod(0o755)
        (tmp_path / "my-values.yaml").write_text("prefect: {enabled: true}\n")
        (tmp_path / "charts").symlink_to(ROOT / "charts")
        path = f"{tmp_path}:{Path(program('helm')).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", found[index]],
            cwd=tmp_path, env={**os.environ, "PATH": path}, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.splitlines()

    return run


def test_the_page_lists_the_images_of_an_install(commands):
    assert commands(0, ()) == INSTALLED


def test_the_page_pushes_every_image_to_where_the_install_pulls_it_from(commands):
    said = commands(1, ("docker", "helm"))
    pushed = {line.split()[-1] for line in said if line.startswith("docker push ")}
    sets = [item.removeprefix("--set ") for item in re.findall(r"--set \S+", said[-1])]
    objects = render(*sets, "prefect.enabled=true")
    assert pushed == {c["image"] for template in pod_specs(objects).values() for c in containers(template)}
    assert {f"registry.example.com/{image}" for image in INSTALLED} == pushed


def test_helm_lint_is_clean():
    from render import CHART, EXISTING

    done = subprocess.run(
        [program("helm"), "lint", "--strict", str(CHART), "--set", ",".join(EXISTING)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
