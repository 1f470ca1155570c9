"""`make release` packages, signs and pushes the chart, from a commit alone; a user can check what was published."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import oci_registry
import pytest
from render import ROOT, program

KEY = "releases@example.com"
COPIED = ("charts/streamflow", "scripts/release", "pyproject.toml", "CHANGELOG.md", ".gitignore")
VERSION = re.search(
    r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
)[1]


@pytest.fixture(scope="module")
def keys():
    """A GPG home with one key; in a short path, because gpg's agent listens on a socket in it."""
    if not shutil.which("gpg"):
        pytest.skip("gpg is not on PATH: signing the chart is NOT tested. Install it; then run again.")
    home = Path(tempfile.mkdtemp(prefix="gpg-"))
    environment = {**os.environ, "GNUPGHOME": str(home)}
    make = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", KEY, "ed25519", "sign", "never"]
    subprocess.run(make, env=environment, check=True, capture_output=True)
    yield home
    subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False, capture_output=True)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def project(tmp_path):
    """A commit of the chart, whose changelog says what the version brings."""
    folder = tmp_path / "project"
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target)
    changelog = folder / "CHANGELOG.md"
    text = re.sub(
        r"(## Unreleased\n).*?(?=## \d)", r"\1\n", changelog.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    changelog.write_text(text, encoding="utf-8")
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def test_the_version_is_the_same_everywhere():
    text = "\n".join(
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("src/streamflow/__init__.py", "charts/streamflow/Chart.yaml")
    )
    stated = re.findall(r'^(?:__version__ = |version: |appVersion: )"?([^"\n]+)"?$', text, re.MULTILINE)
    assert stated == [VERSION] * 3


def git(folder, *arguments):
    who = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A release.")


def release(project, keys, key=KEY, push=""):
    helm = Path(program("helm")).parent
    environment = {
        **os.environ,
        "PATH": f"{helm}{os.pathsep}{os.environ['PATH']}",
        "GNUPGHOME": str(keys),
        "KEY": key,
        "PUSH": push,
    }
    return subprocess.run(
        [project / "scripts" / "release"], env=environment, capture_output=True, text=True, check=False
    )


def change(project, name, old, new):
    path = project / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def dirty(project):
    change(project, "charts/streamflow/values.yaml", "\n", "\n# Changed.\n")


def untracked(project):
    (project / "charts" / "streamflow" / "templates" / "more.yaml").write_text("")


def other_version(project):
    change(project, "pyproject.toml", f'version = "{VERSION}"', 'version = "9.9.9"')
    commit(project)


def other_app_version(project):
    change(project, "charts/streamflow/Chart.yaml", f'appVersion: "{VERSION}"', 'appVersion: "9.9.9"')
    commit(project)


def no_section(project):
    change(project, "CHANGELOG.md", f"## {VERSION} - ", f"## {VERSION}, ")
    commit(project)


def unreleased(project):
    change(project, "CHANGELOG.md", "## Unreleased\n", "## Unreleased\n\n### Fixed\n\n- A fault.\n")
    commit(project)


REFUSED = {
    dirty: "charts/streamflow/values.yaml",
    untracked: "templates/more.yaml",
    other_version: "version in pyproject.toml is 9.9.9",
    other_app_version: "appVersion in charts/streamflow/Chart.yaml is 9.9.9",
    no_section: f"no section '## {VERSION} - DATE'",
    unreleased: "entries below Unreleased",
}


@pytest.mark.parametrize("prepare", REFUSED, ids=lambda prepare: prepare.__name__)
def test_a_release_that_its_commit_does_not_describe_is_refused(prepare, project, keys):
    prepare(project)
    done = release(project, keys)
    assert done.returncode == 1
    assert REFUSED[prepare] in done.stderr
    assert not (project / "dist").exists()


@pytest.mark.parametrize(
    ("key", "message"), [("", "No key"), ("nobody@example.com", "no secret key 'nobody@")]
)
def test_a_release_without_a_key_is_refused(key, message, project, keys):
    done = release(project, keys, key=key)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (project / "dist").exists()


def test_a_published_chart_can_be_verified_and_stays_as_it_is(project, keys, tmp_path):
    with oci_registry.serving() as registry:
        address = f"oci://{registry.address}/charts"
        done = release(project, keys, push=address)
        assert done.returncode == 0, done.stdout + done.stderr
        package = project / "dist" / f"streamflow-{VERSION}.tgz"
        assert (project / "dist" / f"{package.name}.prov").is_file()
        git(project, "diff", "--quiet")

        # A user has the public key alone.
        public = tmp_path / "public.gpg"
        export = ["gpg", "--homedir", keys, "--batch", "--export", "--output", public, KEY]
        subprocess.run(export, check=True, capture_output=True)
        helm = [program("helm"), "pull", f"{address}/streamflow", "--version", VERSION, "--plain-http"]
        verified = [*helm, "--verify", "--keyring", str(public), "--destination"]
        pulled = tmp_path / "pulled"
        pulled.mkdir()
        subprocess.run([*verified, str(pulled)], check=True, capture_output=True)
        assert (pulled / package.name).read_bytes() == package.read_bytes()

        again = release(project, keys, push=address)
        assert again.returncode == 1
        assert f"has version {VERSION} already" in again.stderr


def test_a_package_that_was_changed_after_it_was_signed_is_not_verified(project, keys, tmp_path):
    assert release(project, keys).returncode == 0
    package = project / "dist" / f"streamflow-{VERSION}.tgz"
    public = tmp_path / "public.gpg"
    export = ["gpg", "--homedir", keys, "--batch", "--export", "--output", public, KEY]
    subprocess.run(export, check=True, capture_output=True)
    verify = [program("helm"), "verify", str(package), "--keyring", str(public)]
    assert subprocess.run(verify, check=False, capture_output=True).returncode == 0
    package.write_bytes(package.read_bytes() + b"\0")
    changed = subprocess.run(verify, check=False, capture_output=True, text=True)
    assert changed.returncode == 1
    assert "sha256 sum does not match" in changed.stderr
