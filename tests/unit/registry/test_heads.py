"""Signed heads: what they say about chains that grew, were rewritten or lost rows."""

import base64
import dataclasses
import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.errors import UsageError
from streamflow.postgres.hash_chain import GENESIS, Link, link_hash
from streamflow.registry import actions, heads

START = datetime(2026, 1, 1, tzinfo=UTC)


def private_key(name="registrar"):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


KEY = private_key()
PUBLIC = heads.public_key_of(KEY)


def extended(links, words, action="demote", facts=None):
    """A chain with one more row a word, an hour after the row before."""
    for word in words:
        number = len(links) + 1
        texts = [None] * 15
        texts[0] = str(number)
        texts[heads._RECORDED_AT] = (START + timedelta(hours=number)).strftime("%Y-%m-%dT%H:%M:%S.%f")
        texts[3] = word
        texts[heads._ACTION], texts[heads._FACTS] = action, json.dumps(facts or {})
        before = links[-1].hash if links else GENESIS
        link = Link(number, tuple(texts), before, "")
        links = [*links, dataclasses.replace(link, hash=link_hash(link))]
    return links


def signed(links, number=None, key=KEY, minutes=30):
    """The head that was signed half an hour after its row was written."""
    link = links[(number or len(links)) - 1]
    moment = START + timedelta(hours=link.number, minutes=minutes)
    return heads.sign(key, link.number, link.hash, moment)


def test_a_chain_that_grew_after_it_was_signed_holds():
    links = extended([], "abc")
    verdict = heads.verdict(extended(links, "de"), [signed(links, 1), signed(links)], [PUBLIC])
    assert verdict.problems == ()
    assert verdict.signed == signed(links)
    assert verdict.unsigned == 2


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), st.data())
def test_no_other_chain_passes_for_the_one_that_was_signed(words, data):
    links = extended([], words)
    head = signed(links)
    forged = extended([], data.draw(st.lists(st.sampled_from("abc"), max_size=8)))
    holds = not heads.verdict(forged, [head], [PUBLIC]).problems
    assert holds == (forged[: len(links)] == links)


@given(
    st.sampled_from(["promotion_id", "hash", "signed_at", "public_key", "signature"]), st.integers(0, 1000)
)
def test_a_head_that_was_changed_is_not_valid(field, place):
    head = signed(extended([], "abc"))
    value = getattr(head, field)
    if field == "promotion_id":
        changed = value + 1 + place
    else:
        at = place % len(value)
        changed = value[:at] + ("b" if value[at] != "b" else "c") + value[at + 1 :]
    if field in ("signature", "public_key") and base64.b64decode(changed + "==") == base64.b64decode(value):
        return  # The last character of base64 has bits that mean nothing.
    assert heads.is_valid(head)
    assert not heads.is_valid(dataclasses.replace(head, **{field: changed}))


def test_signatures_of_other_keys_do_not_count():
    links = extended([], "abc")
    other = private_key("somebody")
    assert heads.verdict(links, [signed(links, key=other)], [PUBLIC]).problems == (
        "No row is signed with this key.",
    )
    assert heads.verdict(links, [signed(links, 2), signed(links, key=other)], [PUBLIC]).unsigned == 1


def test_an_empty_ledger_needs_no_signature_unless_one_was_given():
    assert heads.verdict([], [], [PUBLIC]).problems == ()
    assert heads.verdict([], [signed(extended([], "a"))], [PUBLIC]).problems


def lossy(kept, lost_head):
    """A chain that lost its end, and says so in the row after it."""
    facts = {actions.ANCHOR: f"{lost_head.promotion_id}:{lost_head.hash}"}
    return extended(kept, "r", actions.ACKNOWLEDGE, facts)


def test_rows_that_were_lost_and_acknowledged_are_told_and_no_problem():
    before = extended([], "abcde")
    # The acknowledgement is row 4, and written after rows 4 and 5 were signed.
    head = signed(before, minutes=-90)
    links = lossy(before[:3], head)
    verdict = heads.verdict(links, [signed(before, 3), head], [PUBLIC])
    assert verdict.problems == ()
    assert verdict.lost == (
        f"The ledger no longer has row 5, signed at {head.signed_at}: see row 4, 'acknowledge'.",
    )


@pytest.mark.parametrize("fact", [actions.FORMER_HEAD, actions.ANCHOR])
def test_rows_that_a_restore_lost_are_told_and_no_problem(fact):
    before = extended([], "abcde")
    head = signed(before, minutes=-90)
    links = extended(before[:3], "r", actions.RESTORE, {fact: f"5:{before[-1].hash}"})
    verdict = heads.verdict(links, [signed(before, 2), head], [PUBLIC])
    assert verdict.problems == ()
    assert verdict.lost == (
        f"The ledger no longer has row 5, signed at {head.signed_at}: see row 4, 'restore'.",
    )


def test_a_loss_excuses_neither_rows_before_it_nor_rows_signed_after_it():
    before = extended([], "abcde")
    head = signed(before, minutes=-90)
    links = lossy(before[:3], head)
    grown = extended(links, "xyz")
    rewritten = extended(links, "xyq")
    assert heads.verdict(rewritten, [signed(grown, 7)], [PUBLIC]).problems
    forged = lossy(extended([], "abq"), head)
    assert heads.verdict(forged, [signed(before, 3)], [PUBLIC]).problems


def test_a_head_survives_its_json():
    head = signed(extended([], "a"))
    assert heads.from_json(heads.to_json(head)) == head
    for text in ("", "[]", "{}", '{"promotion_id": null}', "null"):
        with pytest.raises(ValueError, match=r".*"):
            heads.from_json(text)


def test_keys_are_read_from_pem_and_nothing_else(tmp_path):
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    private.write_text(heads.new_private_key())
    made = heads.read_private_key(private)
    public.write_text(heads.pem_of(heads.public_key_of(made)))
    assert heads.read_public_key(public) == heads.public_key_of(made)
    for read, path in (
        (heads.read_private_key, public),
        (heads.read_public_key, private),
        (heads.read_public_key, tmp_path / "none"),
        (heads.read_private_key, tmp_path),
    ):
        with pytest.raises(UsageError, match="holds no"):
            read(path)
