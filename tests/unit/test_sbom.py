"""images/sbom.py lists what an image consists of, and refuses one that differs from its lock."""

from __future__ import annotations

import importlib.metadata
import json
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "images" / "sbom.py"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

# Stands for docker: runs the program in a Python that has only the packages of one folder, and two of Debian's.
DOCKER = """\
#!{python} -S
import os, sys
*_, image, option, program = sys.argv
assert sys.argv[1] == "run" and "--network=none" in sys.argv and option == "-c", sys.argv
name, _, tag = image.removeprefix("streamflow/").partition(":")
sys.path[:] = [os.path.join({folder!r}, name), *(path for path in sys.path if "site-packages" not in path)]
os.environ["PATH"] = {folder!r}
exec(program)
"""
DPKG = r"""#!/bin/sh
printf 'libc6\t2.41-12\tamd64\nbase-files\t13.8\tamd64\n'
"""


@pytest.fixture(scope="module")
def sbom():
    """The script, as a module."""
    spec = spec_from_file_location("sbom", SCRIPT)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def images(sbom, tmp_path):
    """Folders that hold the packages of the locks, as far as metadata go."""
    for name in sbom.NAMES:
        (tmp_path / name).mkdir()
        lock = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        pins = {package: pin.version for package, pin in sbom.pins(lock, default_environment()).items()}
        for package, version in {**pins, "streamflow": VERSION}.items():
            # Prefect's packages are not installed here.
            made = tmp_path / name / f"{package.replace('-', '_')}-{version}.dist-info"
            made.mkdir()
            (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    docker = tmp_path / "docker"
    docker.write_text(DOCKER.format(python=sys.executable, folder=str(tmp_path)))
    docker.chmod(0o755)
    (tmp_path / "dpkg-query").write_text(DPKG)
    (tmp_path / "dpkg-query").chmod(0o755)
    return tmp_path


@pytest.fixture
def run(sbom, images, monkeypatch):
    """Run the script on these images; return its message if it fails."""

    def once(**variables):
        for name, value in {"DOCKER": str(images / "docker"), **variables}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["sbom.py", "--folder", str(images / "dist")])
        try:
            sbom.main()
        except SystemExit as error:
            return str(error)
        return ""

    return once


def test_every_package_of_an_image_is_listed_with_licence_and_hashes(images, sbom, run):
    assert run(TAG="t1") == ""
    for name in sbom.NAMES:
        listed = json.loads((images / "dist" / f"streamflow-{name}-t1.cdx.json").read_text())
        assert listed["specVersion"] == "1.6"
        assert listed["metadata"]["component"]["name"] == f"streamflow/{name}"
        packages = {item["purl"]: item for item in listed["components"]}
        installed = {
            f"pkg:pypi/{canonicalize_name(found.metadata['Name'])}@{found.version}"
            for found in importlib.metadata.distributions(path=[str(images / name)])
        }
        assert {url for url in packages if url.startswith("pkg:pypi/")} == installed
        assert f"pkg:generic/python@{sys.version.split()[0]}" in packages
        assert sum(url.startswith("pkg:deb/") for url in packages) == 2
        for url in installed - {f"pkg:pypi/streamflow@{VERSION}"}:
            assert packages[url]["licenses"][0][
                "expression" if "expression" in packages[url]["licenses"][0] else "license"
            ]
            assert all(len(item["content"]) == 64 for item in packages[url]["hashes"]), url
        [dependencies] = [item for item in listed["dependencies"] if item["ref"] == f"streamflow/{name}"]
        assert set(dependencies["dependsOn"]) == set(packages)


def test_the_same_image_gives_the_same_list(images, run):
    texts = []
    for _ in range(2):
        assert run() == ""
        texts.append((images / "dist" / f"streamflow-predict-{VERSION}.cdx.json").read_text())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("fault", ["extra", "lacking"])
def test_an_image_that_is_not_what_its_lock_says_is_refused(fault, images, run):
    if fault == "extra":
        source = importlib.metadata.distribution("pytest")._path
        (images / "predict" / source.name).symlink_to(source)
    else:
        shutil.rmtree(next((images / "predict").glob("uvicorn-*")))
    message = run()
    assert "is not what requirements/predict.txt says" in message
    assert ("pytest" if fault == "extra" else "uvicorn") in message
    assert not list(images.glob("dist/*predict*"))


def test_an_image_that_cannot_be_asked_is_an_error(run):
    assert "could not be asked" in run(DOCKER="false")


def test_make_images_writes_the_lists():
    shown = subprocess.run(
        ["make", "-n", "images"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    commands = [shlex.split(line)[-1] for line in shown.splitlines()]
    assert commands[-3:] == ["images/build.sh", "images/sizes.py", "images/sbom.py"]
