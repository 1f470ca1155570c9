"""A server that is asked by TLS is checked against the machine's certificates; for others they are not read."""

import ssl

import pytest

from streamflow.mlflow_api.connections import connections


@pytest.fixture
def contexts(monkeypatch):
    """The contexts that connections are given, in which the certificates of the machine may be."""
    made = []
    wrapped = ssl.create_default_context

    def create(*arguments, **named):
        made.append(wrapped(*arguments, **named))
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", create)
    return made


@pytest.mark.parametrize("uri", ["https://mlflow:5000", "HTTPS://mlflow"])
def test_with_tls_the_machines_certificates_are_trusted(contexts, uri):
    connections(uri).close()
    assert [(one.verify_mode, one.check_hostname) for one in contexts] == [(ssl.CERT_REQUIRED, True)]


def test_without_tls_no_certificate_is_read(contexts):
    connections("http://mlflow:5000").close()
    assert contexts == []
