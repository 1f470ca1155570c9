"""Sign the ledger's newest row, once it is seen to follow from the row signed before, and copy the signature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamflow import log
from streamflow.errors import StreamFlowError
from streamflow.postgres import clock
from streamflow.postgres.engine import transaction
from streamflow.registrar.head_copy import HeadCopy
from streamflow.registry import chain, heads
from streamflow.registry.heads import Head
from streamflow.settings import DatabaseSettings

_LOG = log.get(__name__)


class Signer(Collector):
    """Signs the head of the chain.

    Args:
        database: Where the ledger is.
        key: Private key.
        copy: Place outside the databases; None if there is none.
        metrics: Where the signer's metrics are registered.
    """

    def __init__(
        self,
        database: DatabaseSettings,
        key: Ed25519PrivateKey,
        copy: HeadCopy | None,
        metrics: CollectorRegistry,
    ) -> None:
        self._database = database
        self._key = key
        self._public_key = heads.public_key_of(key)
        self._copy = copy
        self._signed: Head | None = None
        self._copied: Head | None = None
        self._exported: Head | None = None
        self._is_read = False
        self._unsigned = Gauge(
            "streamflow_trail_unsigned_rows",
            "Rows of the audit trail after the newest one signed",
            registry=metrics,
        )
        self._holds = Gauge(
            "streamflow_trail_head_holds",
            "Whether the audit trail still contains the rows that were signed",
            registry=metrics,
        )
        self._is_copied = Gauge(
            "streamflow_trail_head_copied",
            "Whether the newest signed row was copied to a place outside the databases",
            registry=metrics,
        )
        self._holds.set(1)
        metrics.register(self)

    def collect(self) -> Iterator[Metric]:
        """The newest head as a metric; a gauge could not take back the hash of the former one."""
        head = GaugeMetricFamily(
            "streamflow_trail_head",
            "Number of the newest row of the audit trail that is signed; the label is the row's hash",
            labels=["hash"],
        )
        if self._signed is not None:
            head.add_metric([self._signed.hash], self._signed.promotion_id)
        yield head

    def sign(self) -> None:
        """Sign the newest row, unless it is signed; may be repeated.

        Raises:
            StreamFlowError: The ledger no longer contains what was signed before: it was rewritten.
            DependencyDown: PostgreSQL does not answer.
        """
        if not self._has_read_copy():
            # Signing a chain that was rewritten meanwhile would vouch for it.
            return
        with transaction(self._database) as connection:
            newest = heads.newest_row(connection)
            if self._signed is None or newest != _row(self._signed):
                self._signed = self._next(connection)
        if self._signed is not None:
            self._unsigned.set(0)
            self._export(self._signed)

    def _next(self, connection: sa.Connection) -> Head | None:
        """The signed head of the present chain; None while the chain is empty."""
        links = chain.read(connection)
        self._unsigned.set(len(links) - (self._signed.promotion_id if self._signed else 0))
        known = [*heads.read(connection), *(head for head in (self._copied, self._signed) if head)]
        own = [head for head in known if head.public_key == self._public_key]
        verdict = heads.verdict(links, own, [self._public_key] if own else [])
        problems = (*chain.broken(links), *(verdict.problems if own else ()))
        self._holds.set(not problems)
        if problems:
            raise StreamFlowError(
                "The audit trail of promotions was rewritten. Nothing is signed or promoted until that is explained.",
                details=problems,
                hint="See the runbook AuditTrailRewritten.",
            )
        for sentence in verdict.lost:
            _LOG.warning("a signed row was lost", what=sentence)
        if not links:
            return None
        newest = links[-1]
        if verdict.signed is not None and _row(verdict.signed) == (newest.number, newest.hash):
            return verdict.signed
        head = heads.sign(self._key, newest.number, newest.hash, clock.now(connection))
        heads.add(connection, head)
        return head

    def _has_read_copy(self) -> bool:
        """Read the copy once; return whether that has worked."""
        if self._copy is None or self._is_read:
            return True
        try:
            text = self._copy.read()
            self._copied = heads.from_json(text) if text else None
            self._is_read = True
        except (StreamFlowError, ValueError) as error:
            self._is_copied.set(0)
            _LOG.error(
                "nothing is signed, because the copy of the signed head cannot be read", why=str(error)
            )
        return self._is_read

    def _export(self, head: Head) -> None:
        if head == self._exported:
            return
        if self._copy is not None:
            try:
                self._copy.write(head)
            except StreamFlowError as error:
                self._is_copied.set(0)
                _LOG.error("the signed head is not copied", why=error.what)
                return
            self._is_copied.set(1)
        self._exported = self._copied = head
        _LOG.info("audit trail signed", **asdict(head))


def _row(head: Head) -> tuple[int, str]:
    return head.promotion_id, head.hash
