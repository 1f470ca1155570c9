"""The keyed hash is HMAC-SHA256, whether Python computes it from the key or SQL from the pads."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.erasure import key
from streamflow.erasure.key import Key
from streamflow.errors import UsageError
from streamflow.settings import ErasureSettings


@given(st.binary(min_size=1, max_size=200), st.text(st.characters(codec="utf-8"), max_size=40))
def test_the_pads_give_the_hmac(secret, entity):
    pads = Key(secret).pads
    inner = hashlib.sha256(pads["inner"] + entity.encode()).digest()
    by_pads = hashlib.sha256(pads["outer"] + inner).hexdigest()
    assert by_pads == Key(secret).hash(entity) == hmac.new(secret, entity.encode(), "sha256").hexdigest()


@given(st.binary(min_size=16, max_size=64), st.binary(min_size=16, max_size=64))
def test_the_id_of_a_key_is_that_of_no_other(one, other):
    # Up to a block, keys that differ in zero bytes at their end are the same key.
    assert (Key(one).id == Key(other).id) == (one.rstrip(b"\0") == other.rstrip(b"\0"))


def test_a_key_is_not_shown():
    assert "secret" not in repr(Key(b"secret"))


def test_a_short_key_is_refused():
    with pytest.raises(UsageError, match="at least 16"):
        key.optional(ErasureSettings(key="short"))


def test_without_a_key_the_message_says_where_it_comes_from():
    assert key.optional(ErasureSettings()) is None
    with pytest.raises(UsageError) as told:
        key.required(ErasureSettings())
    assert "STREAMFLOW_ERASURE__KEY_FILE" in told.value.hint


def test_the_key_is_read_from_its_file_without_white_space(tmp_path):
    file = tmp_path / "key"
    file.write_text("a key of some length\n")
    assert key.required(ErasureSettings(key_file=file)) == Key(b"a key of some length")
