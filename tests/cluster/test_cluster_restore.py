"""After a total loss, a backup comes back in an empty cluster within five minutes, and a damaged one is refused."""

import contextlib
import json
import time

import pytest
from kubernetes_cli import CHART, ask, wait_for
from page_shell import commands, page_block, shell

from streamflow.backup import dump as dumps

MOST_SECONDS = 300
# Nothing is written to these after a backup: the trail gets the row of the restore, and logs of jobs and answers grow.
COMPARED = (
    "SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
    " WHERE relkind = 'r' AND (nspname IN ('source', 'online') OR nspname = 'streamflow' AND relname IN"
    " ('drops', 'drop_files', 'quarantine', 'trained_models', 'releases', 'release_pieces', 'scorings', 'scores'))"
    " ORDER BY 1"
)


@pytest.fixture(scope="module")
def filled(way, realdata):
    """An install with a month of drops, a version in production and scores."""
    way.drop(realdata / "month_000", "2024-01-31")
    for job in ("ingest", "materialize", "train", "score"):
        way.job(job)
    return way


def predictions(release, users):
    with release.forwarded(f"{release.name}-predict", 80) as url:
        wait_for(lambda: ask(f"{url}/health")[0] == 200, "predict is ready", timeout=MOST_SECONDS)
        status, answer = ask(f"{url}/predict/batch", {"user_ids": users}, timeout=60)
        assert status == 200, answer
        return {item["user_id"]: item.get("probability") for item in answer["predictions"]}


def rows(release):
    """Number and digest of the rows of each table, computed as for a manifest."""
    found = {}
    for (name,) in release.sql(COMPARED):
        [[count, digest]] = release.sql(
            "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET extra_float_digits = 1;"
            " SELECT count(*), coalesce(sum(('x' || left(encode(sha256(convert_to(r::text, 'UTF8')), 'hex'),"
            f" 16))::bit(64)::bigint::numeric), 0) FROM {name} AS r"
        )
        found[name] = {"rows": int(count), "digest": digest}
    assert len(found) > 12
    return found


@contextlib.contextmanager
def reading_pod(release, claim="streamflow-backups"):
    """A pod with the volume of backups, as docs/kubernetes.md describes; yield its name."""
    pod = (CHART / "examples" / "drops-pod.yaml").read_text(encoding="utf-8").replace("drops", "backups")
    pod = pod.replace("claimName: streamflow-backups", f"claimName: {claim}")
    release.kubectl("apply", "--filename", "-", stdin=pod)
    release.kubectl("wait", "--for=condition=Ready", "pod/backups", "--timeout=180s")
    try:
        yield "backups"
    finally:
        release.kubectl("delete", "pod", "backups")


@pytest.mark.load
@pytest.mark.fault("F33")
def test_after_a_total_loss_a_backup_comes_back_within_five_minutes_and_a_flipped_byte_is_refused(
    filled, figures, tmp_path
):
    users = [user for (user,) in filled.sql("SELECT user_id FROM source.users ORDER BY user_id LIMIT 50")]
    answered = predictions(filled, users)
    kept = filled.job("backup")["folder"]
    with reading_pod(filled) as pod:
        filled.kubectl("cp", f"{pod}:{kept}", tmp_path / "backup", timeout=300)
    manifest = dumps.read(tmp_path / "backup")
    before = rows(filled)
    for name, table in before.items():
        counted = manifest.databases["platform"].tables[name]
        assert table == {"rows": counted.rows, "digest": counted.digest}, name

    # The namespace with its volumes is gone; the copy of the backup is all that is left.
    began = time.monotonic()
    release = lost_and_installed_again(filled)
    figures(f"deleting the namespace and installing again took {time.monotonic() - began:.0f} s.")
    assert release.sql("SELECT count(*) FROM streamflow.drops") == [["0"]]
    copied = f"/backups/{kept.rpartition('/')[2]}"
    with reading_pod(release, "my-backups") as pod:
        release.kubectl("cp", tmp_path / "backup", f"{pod}:{copied}", timeout=300)
        for name in sorted(path.name for path in (tmp_path / "backup").iterdir()):
            refused_with_a_flipped_byte(release, pod, copied, name)

    began = time.monotonic()
    facts = restored_as_documented(release)
    assert predictions(release, users) == answered
    seconds = time.monotonic() - began
    figures(f"the restore, until predict answered, took {seconds:.0f} s.")
    assert seconds < MOST_SECONDS
    assert rows(release) == before
    restored_row(release, facts, kept)

    # Once more, over what is there now.
    block = page_block("Back up, restore", 1)
    shell(block, {"-n streamflow ": f"-n {release.namespace} ", "/backups/2024-03-01T000000.000000Z": copied})
    ended = wait_for(lambda: condition(release, "restore-now"), "job restore-now", MOST_SECONDS)
    assert ended == "Complete", release.kubectl("logs", "job/restore-now", "--all-containers")
    assert rows(release) == before


def restored_as_documented(release):
    """Run the page's command that restores the newest backup; return the facts that the job recorded."""
    restore = commands(page_block("Back up, restore", 0))[1]
    log = shell(restore, {"-n streamflow": f"-n {release.namespace}"}, timeout=MOST_SECONDS)
    [[outcome, facts]] = release.sql(
        "SELECT outcome, facts FROM streamflow.job_runs WHERE job = 'restore' ORDER BY run_id DESC LIMIT 1"
    )
    assert outcome == "done", log
    return json.loads(facts)


def restored_row(release, facts, kept):
    """The restore is in the trail, whose chain holds."""
    [[action, before, after, login, written]] = release.sql(
        "SELECT action, from_version, to_version, login, facts FROM streamflow.promotions"
        f" WHERE promotion_id = {facts['row']}"
    )
    assert (action, before, after, login) == ("restore", "1", "1", "postgres")
    assert json.loads(written)["backup"] == kept.rpartition("/")[2]
    audited = release.job("audit")
    assert audited["chain_ok"], audited["problems"]


def lost_and_installed_again(release):
    release.delete_namespace()
    release.create_namespace()
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "my-backups"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    release.kubectl("apply", "--filename=-", stdin=json.dumps(claim))
    install = commands(page_block("Back up, restore", 0))[0]
    small = f"--values {CHART}/ci/small.yaml --set demo.enabled=false --set jobDefaults.suspend=true"
    shell(f"{install} {small}", {"--namespace streamflow ": f"--namespace {release.namespace} "})
    for name in ("mlflow", "feast", "registrar", "exporter"):
        release.kubectl(
            "rollout", "status", f"deployment/{release.name}-{name}", "--timeout=600s", timeout=660
        )
    return release


def refused_with_a_flipped_byte(release, pod, folder, name):
    """Flip a bit in the middle of a file: the job refuses and nothing is restored; then flip it back."""
    flip = (
        "import sys; path = sys.argv[1]; content = bytearray(open(path, 'rb').read());"
        " content[len(content) // 2] ^= 1; open(path, 'wb').write(content)"
    )
    release.kubectl("exec", pod, "--", "python", "-c", flip, f"{folder}/{name}")
    made = f"restore-{time.monotonic_ns():x}"
    release.kubectl("create", "job", f"--from=cronjob/{release.name}-restore", made)
    ended = wait_for(lambda: condition(release, made), f"job {made}", MOST_SECONDS)
    log = release.kubectl("logs", f"job/{made}", "--all-containers")
    assert ended == "Failed", log
    assert "Nothing was restored" in log
    assert name in log
    assert release.sql("SELECT count(*) FROM streamflow.drops") == [["0"]]
    release.kubectl("exec", pod, "--", "python", "-c", flip, f"{folder}/{name}")


def condition(release, job):
    found = release.get("job", job)["status"].get("conditions", [])
    return next(
        (c["type"] for c in found if c["type"] in ("Complete", "Failed") and c["status"] == "True"), ""
    )
