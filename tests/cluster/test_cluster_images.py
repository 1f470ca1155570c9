"""Each image runs its commands, and imports all of its modules: images/trim.py has removed nothing that is loaded."""

import pytest
from kubernetes_cli import run
from page_shell import ROOT

TAG = next(
    line.split('"')[1]
    for line in (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    if line.startswith("version = ")
)
# Imports the modules below the packages that it is given, and says which ones have no bytecode.
IMPORTS = """
import importlib, os, pkgutil, sys
for package in sys.argv[1:]:
    found = pkgutil.walk_packages(importlib.import_module(package).__path__, package + ".", onerror=lambda _: None)
    for module in found:
        # These two have images of their own.
        elsewhere = module.name.startswith(("streamflow.flows.", "streamflow.spark"))
        if not module.name.endswith("__main__") and not elsewhere:
            importlib.import_module(module.name)
found = [(m.__file__, m.__cached__) for m in list(sys.modules.values()) if getattr(m, "__cached__", None)]
print(len(found), "modules, without bytecode:", [name for name, cached in found if not os.path.exists(cached)])
"""
COMMANDS = {
    "predict": [["python", "-c", IMPORTS, "streamflow.predict", "streamflow.client"]],
    "platform": [
        ["streamflow", "--help"],
        ["feast", "--help"],
        ["python", "-c", IMPORTS, "streamflow"],
    ],
    "prefect": [
        ["prefect", "--version"],
        ["python", "-c", "import streamflow.flows.serve, kubernetes.client; print('imported')"],
    ],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_an_image_runs_its_commands_as_nobody_without_a_writable_root(name, cluster):
    for command in COMMANDS[name]:
        said = run(
            "docker", "run", "--rm", "--read-only", "--tmpfs=/tmp", "--network=none", "--cap-drop=ALL",
            f"streamflow/{name}:{TAG}", *command, timeout=300,
        )  # fmt: skip
        assert said.strip()
        if IMPORTS in command:
            assert said.strip().endswith("without bytecode: []")
