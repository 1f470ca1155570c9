"""Every command block of docs/how-to.md, run in its order in a shell, with the page's placeholders filled in."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from program import ROOT, STREAMFLOW, Program

PAGE = (ROOT / "docs" / "how-to.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The page's blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A shell of a user whose stack runs."""
    user = tmp_path_factory.mktemp("user")
    # The commands are given in the project's folder, where a user has drops too.
    (user / "feature_repo").symlink_to(ROOT / "feature_repo")
    program = Program(user / "first", cwd=user)
    try:
        program.json("up")
        yield Shell(program, user)
    finally:
        for name in ("first", "second"):
            Program(user / name).run("down")


class Shell:
    """Runs blocks of the page."""

    def __init__(self, program, user):
        self.program, self.user = program, user
        self.path = f"{STREAMFLOW.parent}:/usr/bin:/bin"

    def run(self, block, *, home="first", **given):
        """Run a block, in which `given` texts take the place of the page's; return its output."""
        for old, new in given.items():
            assert old in block, old
            block = block.replace(old, new)
        environment = self.program.environment(
            HOME=str(self.user), PATH=self.path, STREAMFLOW_HOME=str(self.user / home)
        )
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", block],
            cwd=self.user,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


@pytest.mark.timeout(600)
def test_every_block_of_the_page_does_what_the_page_says(shell, small):
    ingest, correct, train, threshold, score, backup, upgrade, second, clock = blocks("bash")
    [notebook] = blocks("python")
    program = shell.program
    shutil.copytree(small / "2024-01-31", shell.user / "DIR")
    assert "Stored as" in shell.run(ingest)
    program.ok("ingest", small / "2024-02-29")

    shutil.copytree(small / "2024-01-31", shell.user / "corrected")
    users = shell.user / "corrected" / "users.csv"
    header, _, *others = users.read_text(encoding="utf-8").splitlines(keepends=True)
    users.write_text("".join([header, *others]), encoding="utf-8")
    shell.run(correct)
    assert len(program.json("drops", "list")) == 3

    before = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    said = shell.run(train, **{"2024-02-03T12:00": before})
    assert said.count("customers,") == 4
    assert "chosen by recall:0.7" in shell.run(threshold)
    for alias in ("staging", "production"):
        program.ok("models", "promote", 4, "--to", alias, "--why", "a test")

    key = others[0].split(",")[0]
    lines = f". {program.home}/stack.env\n{sys.executable} - <<'CODE'\n{notebook}\nCODE\n"
    assert "Traceback" not in shell.run(lines, **{"0009-LHIXE": key})

    assert "scored" in shell.run(score).lower()
    back_up, restore = backup.rsplit("streamflow restore", 1)
    shell.run(back_up)
    [made] = (shell.user / "streamflow-backups").glob("2*")
    upgraded = shell.run(upgrade)
    assert upgraded.count("100 are equal to production's") == 2
    assert "MLflow's database was migrated while its server was stopped" in upgraded
    assert "running" in shell.run(second)
    name = re.search(r"streamflow-backups/(\S+)", restore)[1]
    restored = shell.run(f"streamflow restore{restore}", home="second", **{name: made.name})
    assert "nothing needs to be materialized" in restored
    assert Program(shell.user / "second").json("drops", "list") == program.json("drops", "list")

    assert "are given again" in shell.run(clock)
