"""Write what an image consists of, as CycloneDX: Python, its packages, the project, the packages of the base image.

The image is asked what it has, and must have exactly what its hashed lock says. `DOCKER` picks another client, `TAG` the
images.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("predict", "platform", "prefect")
ASK = """
import importlib.metadata, json, os, platform, subprocess, sys
release = platform.freedesktop_os_release() if os.path.exists("/etc/os-release") else {}
try:
    form = "-f=${Package}\\t${Version}\\t${Architecture}\\n"
    shown = subprocess.run(["dpkg-query", "-W", form], capture_output=True, text=True, check=True).stdout
except OSError:
    shown = ""
print(json.dumps({
    "environment": {
        "implementation_name": sys.implementation.name,
        "implementation_version": platform.python_version(),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": "",
        "platform_system": platform.system(),
        "platform_version": "",
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    },
    "python": sorted([d.name, d.version] for d in importlib.metadata.distributions()),
    "system": [release.get("ID", ""), release.get("VERSION_CODENAME", "")],
    "packages": sorted(line.split("\\t") for line in shown.splitlines()),
}))
"""
"""Program that prints what an image has; it runs in the image."""

_ROW = re.compile(r"^\| ([a-z0-9-]+) \| ([^|]+) \|", re.MULTILINE)


@dataclass(frozen=True)
class Pin:
    """A package of a lock."""

    version: str
    hashes: tuple[str, ...]


def pins(lock: str, environment: Mapping[str, str]) -> dict[str, Pin]:
    """Read the packages that a lock installs in an environment, by name. Pure.

    Args:
        lock: Text of the lock.
        environment: Values of the markers, such as `sys_platform`.
    """
    found: dict[str, Pin] = {}
    for line in lock.replace("\\\n", " ").splitlines():
        head, *hashes = (part.strip() for part in line.split("--hash=sha256:"))
        if not head or head.startswith("#"):
            continue
        pin = Requirement(head)
        if pin.marker is None or pin.marker.evaluate(dict(environment)):
            [version] = pin.specifier
            found[canonicalize_name(pin.name)] = Pin(version.version, tuple(hashes))
    return found


def differences(image: Mapping[str, str], lock: Mapping[str, Pin]) -> list[str]:
    """Say what the image has and its lock does not, and the reverse. Pure."""
    locked = {name: pin.version for name, pin in lock.items()}
    extra = [
        f"{name} {version} is in the image, not in its lock"
        for name, version in image.items()
        if locked.get(name) != version
    ]
    lacking = [
        f"{name} {version} is in the lock, not in the image"
        for name, version in locked.items()
        if image.get(name) != version
    ]
    return sorted(extra + lacking)


def licences() -> dict[str, str]:
    """Licence of each Python package, from the page that `make licences` writes."""
    return dict(_ROW.findall((ROOT / "docs" / "licences.md").read_text(encoding="utf-8")))


def bill(image: str, tag: str, project: str, has: Mapping[str, Any], lock: Mapping[str, Pin]) -> Bom:
    """List the components of an image. Pure but for the page of licences.

    Args:
        image: Name of the image.
        tag: Its tag.
        project: Version of the project in it.
        has: What the image printed.
        lock: Packages of its lock.
    """
    known = licences()
    own = LicenseExpression("Apache-2.0")
    root = Component(name=image, version=tag, type=ComponentType.CONTAINER, bom_ref=image, licenses=[own])
    python = has["environment"]["python_full_version"]
    components = [
        _component("streamflow", project, PackageURL("pypi", name="streamflow", version=project), own.value),
        _component("python", python, PackageURL("generic", name="python", version=python), "Python-2.0.1"),
    ]
    for name, pin in lock.items():
        url = PackageURL("pypi", name=name, version=pin.version)
        components.append(_component(name, pin.version, url, known.get(name, ""), pin.hashes))
    system, codename = has["system"]
    for name, version, architecture in has["packages"]:
        about = {"arch": architecture, "distro": codename}
        url = PackageURL("deb", system, name, version, {key: value for key, value in about.items() if value})
        components.append(_component(name, version, url))
    bom = Bom(components=components)
    bom.metadata.component = root
    bom.register_dependency(root, components)
    # The same image has the same list: no time, and a number that follows from its contents.
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.serial_number = uuid5(NAMESPACE_URL, json.dumps([image, tag, project, has], sort_keys=True))
    return bom


def _component(
    name: str, version: str, url: PackageURL, licence: str = "", hashes: Sequence[str] = ()
) -> Component:
    return Component(
        name=name,
        version=version,
        purl=url,
        bom_ref=url.to_string(),
        licenses=[LicenseExpression(licence)] if licence else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in hashes],
    )


def asked(docker: str, image: str) -> dict[str, Any]:
    """Run the image without a network, and read what it has."""
    command = [docker, "run", "--rm", "--network=none", "--entrypoint=python", image, "-c", ASK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{image} could not be asked what it consists of: {done.stderr.strip()}")
    return cast(dict[str, Any], json.loads(done.stdout))


def main() -> None:
    """Write a file for each image into the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "dist", help="where the lists are written")
    parser.add_argument("names", nargs="*", help="images; by default those of `make images`")
    arguments = parser.parse_args()
    folder = arguments.folder
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    tag = os.environ.get("TAG") or project
    for name in arguments.names or NAMES:
        image = f"streamflow/{name}"
        has = asked(os.environ.get("DOCKER") or "docker", f"{image}:{tag}")
        lock = pins((ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8"), has["environment"])
        python: dict[str, str] = {canonicalize_name(package): version for package, version in has["python"]}
        python.pop("streamflow", None)
        if wrong := differences(python, lock):
            sys.exit(f"{image}:{tag} is not what requirements/{name}.txt says:\n" + "\n".join(wrong))
        text = JsonV1Dot6(bill(image, tag, project, has, lock)).output_as_string(indent=2)
        if faults := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
            sys.exit(f"The list of {image}:{tag} is not valid CycloneDX: {faults}")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"streamflow-{name}-{tag}.cdx.json"
        path.write_text(text + "\n", encoding="utf-8")
        sys.stdout.write(f"{path}  {len(has['packages']) + len(lock) + 2} components\n")


if __name__ == "__main__":
    main()
