"""Signed heads against somebody who owns the database and rewrites the trail, its hashes and whatever else is there."""

import json

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from streamflow.cli.main import app
from streamflow.errors import StreamFlowError
from streamflow.postgres.engine import transaction
from streamflow.registrar import head_copy
from streamflow.registrar.signing import Signer
from streamflow.registry import chain, heads, trail
from streamflow.registry.trail import Change


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "signing-key.pem"
    path.write_text(heads.new_private_key())
    return heads.read_private_key(path)


@pytest.fixture
def public(key, tmp_path):
    path = tmp_path / "public.pem"
    path.write_text(heads.pem_of(heads.public_key_of(key)))
    return path


@pytest.fixture
def signer(settings, key, tmp_path):
    """Makes a signer as a registrar that has just started; its copy is the same file each time."""

    def make():
        promotion = settings.promotion.model_copy(update={"head_file": tmp_path / "copy" / "head.json"})
        return Signer(settings.database, key, head_copy.chosen(promotion), CollectorRegistry())

    return make


def add_rows(settings, words):
    with transaction(settings.database) as connection:
        for word in words:
            change = Change("production", None, None, "demote", "ada", word)
            trail.append(connection, settings.mlflow.registered_model, change)


def as_the_owner(settings, *statements):
    """Run statements without any trigger, as the owner of the database may."""
    with transaction(settings.database) as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for statement in statements:
            connection.exec_driver_sql(statement)


REWRITE = """
DO $$
DECLARE
    before text := repeat('0', 64);
    number bigint;
BEGIN
    UPDATE streamflow.promotions SET why = 'all is well', moved_by = 'nobody' WHERE promotion_id = 2;
    FOR number IN SELECT promotion_id FROM streamflow.promotions ORDER BY promotion_id LOOP
        UPDATE streamflow.promotions SET previous_hash = before WHERE promotion_id = number;
        UPDATE streamflow.promotions p SET hash = streamflow.promotion_hash(p)
            WHERE promotion_id = number RETURNING hash INTO before;
    END LOOP;
END $$
"""
CUT = "DELETE FROM streamflow.promotions WHERE promotion_id > 2"
NO_HEADS = "DELETE FROM streamflow.signed_heads"


def verified(public, *words):
    return CliRunner().invoke(app, ["models", "history", "--verify-with", str(public), *words])


def test_each_new_head_is_signed_once_and_copied(settings, signer, public, tmp_path, mlflow_server):
    assert verified(public).exit_code == 0
    running = signer()
    running.sign()
    assert not (tmp_path / "copy").exists()
    add_rows(settings, "abc")
    running.sign()
    running.sign()
    signer().sign()
    with transaction(settings.database) as connection:
        kept = heads.read(connection)
        links = chain.read(connection)
    assert [head.promotion_id for head in kept] == [3]
    assert heads.contains(links, kept[0])
    assert heads.from_json((tmp_path / "copy" / "head.json").read_text()) == kept[0]
    assert (tmp_path / "copy" / "public-key.pem").read_text() == public.read_text()
    shown = verified(public)
    assert shown.exit_code == 0, shown.output
    assert "Signed up to row 3" in shown.output
    add_rows(settings, "d")
    told = json.loads(verified(public, "--json").output)["signatures"]
    assert (told["signed"]["promotion_id"], told["unsigned"]) == (3, 1)
    running.sign()
    assert "Signed up to row 4" in verified(public).output


@pytest.mark.parametrize(
    "statements",
    [
        (REWRITE,),
        (REWRITE, NO_HEADS),
        (CUT,),
        (CUT, NO_HEADS),
        ("DELETE FROM streamflow.promotions", NO_HEADS),
    ],
    ids=["rewritten", "rewritten without heads", "cut", "cut without heads", "emptied"],
)
@pytest.mark.parametrize("restarted", [False, True])
def test_a_trail_that_its_owner_rewrote_is_not_signed_and_does_not_verify(
    settings, signer, public, tmp_path, mlflow_server, statements, restarted
):
    add_rows(settings, "abcd")
    running = signer()
    running.sign()
    as_the_owner(settings, *statements)
    assert chain.broken(chain.links(settings.database)) == ()
    with pytest.raises(StreamFlowError, match="rewritten"):
        (signer() if restarted else running).sign()
    result = verified(public, "--head", str(tmp_path / "copy" / "head.json"))
    assert result.exit_code == 1
    assert "does not match its signatures" in result.exception.what


def test_signatures_that_the_owner_makes_with_a_key_of_his_own_do_not_verify(
    settings, signer, public, mlflow_server, tmp_path
):
    add_rows(settings, "abcd")
    signer().sign()
    as_the_owner(settings, REWRITE, NO_HEADS)
    own = tmp_path / "own.pem"
    own.write_text(heads.new_private_key())
    Signer(settings.database, heads.read_private_key(own), None, CollectorRegistry()).sign()
    result = verified(public)
    assert result.exit_code == 1
    assert result.exception.details == ("No row is signed with this key.",)


def test_nothing_is_signed_while_the_copy_cannot_be_read(settings, signer, tmp_path):
    add_rows(settings, "ab")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "head.json").write_text("{")
    running = signer()
    running.sign()
    with transaction(settings.database) as connection:
        assert heads.read(connection) == []
    (tmp_path / "copy" / "head.json").unlink()
    running.sign()
    with transaction(settings.database) as connection:
        assert len(heads.read(connection)) == 1


def test_signed_heads_cannot_be_changed(settings, signer):
    add_rows(settings, "a")
    signer().sign()
    for statement in ("UPDATE streamflow.signed_heads SET hash = hash", NO_HEADS):
        with (
            pytest.raises(sa.exc.DBAPIError, match="append-only"),
            transaction(settings.database) as connection,
        ):
            connection.exec_driver_sql(statement)


def test_after_both_databases_were_recovered_as_of_one_moment_the_kept_head_says_what_is_lost(
    settings, signer, public, mlflow_server, tmp_path
):
    add_rows(settings, "abcd")
    running = signer()
    running.sign()
    as_the_owner(settings, CUT, "DELETE FROM streamflow.signed_heads WHERE promotion_id > 2")
    with pytest.raises(StreamFlowError, match="rewritten"):
        running.sign()
    kept = ("--head", str(tmp_path / "copy" / "head.json"))
    assert verified(public, "--acknowledge", "recovered").exit_code != 0
    told = verified(public, "--acknowledge", "recovered", *kept)
    assert told.exit_code == 0, told.output
    assert "see row 3, 'acknowledge'" in told.output
    running.sign()
    signer().sign()
    assert "Signed up to row 3" in verified(public, *kept).output
