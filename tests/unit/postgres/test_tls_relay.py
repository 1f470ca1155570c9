"""What the relay checks in each sslmode, and what it removes from a server's offer."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.errors import UsageError
from streamflow.postgres import tls_relay
from streamflow.settings import DatabaseSettings

MECHANISMS = st.lists(
    st.sampled_from(["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS", "OAUTHBEARER"]), max_size=5
)


def message(code, content):
    body = code.to_bytes(4) + content
    return b"R" + (4 + len(body)).to_bytes(4) + body


def offer(names):
    return message(10, b"".join(name.encode() + b"\0" for name in names) + b"\0")


@given(MECHANISMS)
def test_an_offer_keeps_every_mechanism_but_those_with_channel_binding(names):
    kept = [name for name in names if not name.endswith("-PLUS")]
    assert tls_relay._without_channel_binding(offer(names)[5:]) == offer(kept)


@given(st.integers(0, 20).filter(lambda code: code != 10), st.binary(max_size=64))
def test_every_other_request_for_authentication_is_passed_on_unchanged(code, content):
    assert tls_relay._without_channel_binding(message(code, content)[5:]) == message(code, content)


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No root certificate in the place where libpq looks for one."""
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("sslmode", ["verify-ca", "verify-full"])
def test_a_mode_that_checks_the_certificate_needs_a_root_certificate(sslmode, nowhere):
    with pytest.raises(UsageError, match=r"root\.crt"):
        tls_relay.client_context(DatabaseSettings(sslmode=sslmode))


@pytest.mark.parametrize("sslmode", ["prefer", "require"])
def test_a_mode_that_only_encrypts_needs_none(sslmode, nowhere):
    context = tls_relay.client_context(DatabaseSettings(sslmode=sslmode))
    assert context.verify_mode == ssl.CERT_NONE
    assert context.check_hostname is False


def test_a_root_certificate_that_is_there_is_never_ignored_by_require(nowhere):
    (nowhere / ".postgresql").mkdir()
    (nowhere / ".postgresql" / "root.crt").write_text("no certificate")
    with pytest.raises(UsageError, match=r"root\.crt"):
        tls_relay.client_context(DatabaseSettings(sslmode="require"))


@pytest.mark.parametrize(
    "changed", [{"sslmode": "disable"}, {"host": "/var/run/postgresql", "sslmode": "verify-full"}]
)
def test_there_is_no_relay_where_there_is_no_tls(changed, nowhere):
    database = DatabaseSettings(**{"host": "db", "port": 6000, **changed})
    with tls_relay.reachable(database) as reached:
        assert reached == (database.host, 6000)
