"""Signed heads of the ledger's hash chain: sign the newest row, and verify a chain against heads that were signed.

Whoever owns both databases can rewrite rows and compute their hashes anew. The signatures (Ed25519, RFC 8032) are made
with a key that no database holds, so the chain no longer matches them.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from streamflow.errors import StreamFlowError, UsageError
from streamflow.postgres import statements
from streamflow.postgres.engine import transaction
from streamflow.postgres.hash_chain import Link
from streamflow.registry import actions, chain
from streamflow.settings import DatabaseSettings

_SQL = statements.load(Path(__file__).with_name("heads.sql"))
_RECORDED_AT, _ACTION, _FACTS = 2, 9, 12
"""Places of these fields in `Link.texts`."""


@dataclass(frozen=True)
class Head:
    """A row of the chain that was its newest when it was signed.

    Attributes:
        promotion_id: Number of the row.
        hash: Hash of the row, which stands for all rows before it too.
        signed_at: When it was signed, by the database's clock, in ISO 8601.
        public_key: Public key that belongs to the signature: 32 bytes in base64.
        signature: Signature over `message`: 64 bytes in base64.
    """

    promotion_id: int
    hash: str
    signed_at: str
    public_key: str
    signature: str

    @property
    def message(self) -> bytes:
        """What is signed."""
        return _message(self.promotion_id, self.hash, self.signed_at)


@dataclass(frozen=True)
class Verdict:
    """What the signed heads say about a chain.

    Attributes:
        problems: What is wrong, a sentence each; empty when the chain holds.
        signed: The newest signed head that the chain contains; None when there is none.
        unsigned: Number of rows after that head.
        lost: Signed heads that the chain has lost for a reason that a later row states, a sentence each.
    """

    problems: tuple[str, ...]
    signed: Head | None
    unsigned: int
    lost: tuple[str, ...] = ()


def verdict(links: Sequence[Link], heads: Collection[Head], public_keys: Collection[str]) -> Verdict:
    """Verify a chain against the heads that were signed. Pure.

    Args:
        links: The chain, oldest row first. Its own hashes are verified by `chain.broken`.
        heads: Signed heads, in any order.
        public_keys: Keys that are trusted, in base64. Heads that name other keys are ignored.
    """
    problems, lost, newest = [], [], None
    stated = _stated_losses(links)
    trusted = [head for head in heads if head.public_key in public_keys]
    if links and not trusted:
        problems.append("No row is signed with this key.")
    for head in sorted(trusted, key=lambda head: (head.promotion_id, head.signed_at)):
        named = f"row {head.promotion_id}, signed at {head.signed_at}"
        if not is_valid(head):
            problems.append(f"The signature of {named}, is wrong.")
        elif contains(links, head):
            newest = head
        elif loss := next((loss for loss in stated if loss.covers(head)), None):
            lost.append(f"The ledger no longer has {named}: see row {loss.row}, '{loss.action}'.")
        else:
            problems.append(f"The ledger no longer has {named}: it was rewritten or cut off after that.")
    return Verdict(tuple(problems), newest, len(links) - (newest.promotion_id if newest else 0), tuple(lost))


def verify(database: DatabaseSettings, public_keys: Collection[str], kept: Head | None = None) -> Verdict:
    """Verify the ledger in the database against the heads that were signed.

    Args:
        database: Where the ledger is.
        public_keys: Keys that are trusted, in base64.
        kept: A signed head that was kept outside the database.

    Raises:
        StreamFlowError: The ledger does not match the signatures; `details` says where.
    """
    with transaction(database) as connection:
        links, known = chain.read(connection), read(connection)
    if kept is not None and kept.public_key not in public_keys:
        raise StreamFlowError(
            "The copy of the signed head is signed with another key.",
            hint="Find out which key the registrar had then, and who wrote the copy.",
        )
    found = verdict(links, [*known, *([kept] if kept else [])], public_keys)
    if found.problems:
        raise StreamFlowError(
            "The audit trail of promotions does not match its signatures.",
            details=found.problems,
            hint="Compare it with a backup, and find out who owns the database (docs/runbooks/AuditTrailRewritten.md).",
        )
    return found


def contains(links: Sequence[Link], head: Head) -> bool:
    """Whether a chain has the row that a head names. Pure."""
    return head.promotion_id <= len(links) and links[head.promotion_id - 1].hash == head.hash


@dataclass(frozen=True)
class _Loss:
    """A row that states which rows were lost: those from its own number on, as they were before.

    Attributes:
        row: Number of the row.
        recorded_at: When it was written.
        action: Its action.
        newest: Number of the newest row that was lost.
        hash: Hash of that row.
    """

    row: int
    recorded_at: datetime
    action: str
    newest: int
    hash: str

    def covers(self, head: Head) -> bool:
        """Whether the row that a head names is one of those."""
        return (
            self.row <= head.promotion_id <= self.newest
            and datetime.fromisoformat(head.signed_at) <= self.recorded_at
            and (head.promotion_id < self.newest or head.hash == self.hash)
        )


def _stated_losses(links: Sequence[Link]) -> list[_Loss]:
    found = []
    for link in links:
        action = link.texts[_ACTION] or ""
        if action not in actions.LOSSES:
            continue
        facts = json.loads(link.texts[_FACTS] or "{}")
        recorded_at = datetime.fromisoformat(link.texts[_RECORDED_AT] or "").replace(tzinfo=UTC)
        for fact in actions.LOSSES[action]:
            number, _, row_hash = str(facts.get(fact) or "").partition(":")
            if number.isdigit():
                found.append(_Loss(link.number, recorded_at, action, int(number), row_hash))
    return found


def sign(key: Ed25519PrivateKey, promotion_id: int, row_hash: str, moment: datetime) -> Head:
    """Sign a row as the head of the chain. Pure: an Ed25519 signature uses no random number.

    Args:
        key: Private key.
        promotion_id: Number of the row.
        row_hash: Hash of the row.
        moment: Time by the database's clock.
    """
    signed_at = moment.astimezone(UTC).isoformat()
    signature = key.sign(_message(promotion_id, row_hash, signed_at))
    return Head(promotion_id, row_hash, signed_at, public_key_of(key), base64.b64encode(signature).decode())


def is_valid(head: Head) -> bool:
    """Whether a head's signature belongs to its content and its public key. Pure."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(head.public_key, validate=True))
        key.verify(base64.b64decode(head.signature, validate=True), head.message)
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def _message(promotion_id: int, row_hash: str, signed_at: str) -> bytes:
    return f"streamflow head of the audit trail\n{promotion_id}\n{row_hash}\n{signed_at}\n".encode()


def public_key_of(key: Ed25519PrivateKey) -> str:
    """The public key of a private one, in base64. Pure."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def pem_of(public_key: str) -> str:
    """A public key in PEM, which OpenSSL and others read. Pure."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key))
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key: PEM, PKCS #8, without a passphrase.

    Raises:
        UsageError: The file cannot be read, or holds something else.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(path, "private") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unreadable(path, "private")
    return key


def read_public_key(path: Path) -> str:
    """Read a public key in PEM; return it in base64.

    Raises:
        UsageError: The file cannot be read, or holds something else.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(path, "public") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _unreadable(path, "public")
    return base64.b64encode(key.public_bytes_raw()).decode()


def _unreadable(path: Path, kind: str) -> UsageError:
    return UsageError(
        f"{path} holds no {kind} key that can be read.",
        hint=f"Name a file with a {kind} Ed25519 key in PEM (docs/governance.md).",
    )


def new_private_key() -> str:
    """Make a private key, in PEM."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def to_json(head: Head) -> str:
    """A head as a JSON object. Pure."""
    return json.dumps(asdict(head), indent=1) + "\n"


def from_json(text: str) -> Head:
    """The head that `to_json` wrote. Pure.

    Raises:
        ValueError: The text is something else.
    """
    try:
        fields: dict[str, Any] = json.loads(text)
        texts = {name: str(fields[name]) for name in ("hash", "signed_at", "public_key", "signature")}
        return Head(promotion_id=int(fields["promotion_id"]), **texts)
    except (KeyError, TypeError) as error:
        raise ValueError("no signed head") from error


def newest_row(connection: sa.Connection) -> tuple[int, str] | None:
    """Number and hash of the ledger's newest row; None when there is no row."""
    row = connection.execute(sa.text(_SQL["newest_row"])).one_or_none()
    return None if row is None else (row[0], row[1])


def read(connection: sa.Connection) -> list[Head]:
    """Every signed head in the database, oldest first."""
    return [
        Head(row[0], row[1], row[2].astimezone(UTC).isoformat(), row[3], row[4])
        for row in connection.execute(sa.text(_SQL["all"]))
    ]


def add(connection: sa.Connection, head: Head) -> None:
    """Keep a signed head in the database."""
    connection.execute(sa.text(_SQL["add"]), asdict(head))
