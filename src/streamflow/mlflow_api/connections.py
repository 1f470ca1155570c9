"""The connections to an MLflow server, with certificates that are read only when they are needed."""

from __future__ import annotations

import ssl

import httpx2


def connections(uri: str) -> httpx2.HTTPTransport:
    """Connections that are made again when connecting fails; a request that was sent is never repeated.

    Args:
        uri: Address of the server.
    """
    return httpx2.HTTPTransport(verify=_trust(uri), retries=2)


def _trust(uri: str) -> ssl.SSLContext | bool:
    """The certificates to trust; without TLS none, as reading those of the machine takes 20 ms of processor time."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if httpx2.URL(uri).scheme == "http" else True
