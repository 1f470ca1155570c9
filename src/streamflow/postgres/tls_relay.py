"""TLS for client programs that cannot speak it: the wheel's `pg_dump` and `pg_restore` are built without OpenSSL.

They connect to a Unix socket in a private folder; the relay encrypts, and checks the server's certificate as libpq does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

from streamflow.errors import UsageError
from streamflow.settings import DatabaseSettings

_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_AUTHENTICATE, _NEGOTIATE = b"R", b"v"
"""Kinds of messages with which a server answers: what it takes to log in; that it speaks an older protocol."""

_SASL = 10
_BLOCK = 1 << 18
_PATIENCE_SECONDS = 1.0


@contextlib.contextmanager
def reachable(database: DatabaseSettings) -> Iterator[tuple[str, int]]:
    """Yield the host and port at which a program without TLS reaches the server.

    Args:
        database: Where the server is, and its `sslmode`.

    Raises:
        UsageError: The mode asks for the server's certificate to be checked, and the root certificate cannot be read.
    """
    if database.sslmode == "disable" or database.host.startswith("/"):
        yield database.host, database.port
        return
    context = client_context(database)
    with tempfile.TemporaryDirectory(prefix="pg-") as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/.s.PGSQL.{database.port}")
        listener.listen()
        relay = _Relay(database, context, listener)
        thread = threading.Thread(target=relay.run, name="tls-relay", daemon=True)
        thread.start()
        try:
            yield folder, database.port
        finally:
            relay.stop()
            thread.join()


def client_context(database: DatabaseSettings) -> ssl.SSLContext:
    """Return what libpq checks in this `sslmode`, with the root certificate in PGSSLROOTCERT or `~/.postgresql/root.crt`.

    Raises:
        UsageError: The root certificate is needed and cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = database.sslmode == "verify-full"
    root = Path(os.environ.get("PGSSLROOTCERT") or Path.home() / ".postgresql" / "root.crt")
    # As libpq: `require` checks the issuer as well, if there is a root certificate.
    if database.sslmode == "prefer" or (database.sslmode == "require" and not root.exists()):
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        context.load_verify_locations(cafile=root)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"The root certificate {root} cannot be read ({error}), and sslmode '{database.sslmode}' needs it.",
            hint="Name the file in PGSSLROOTCERT.",
        ) from error
    return context


class _Relay:
    """Accepts connections on a socket, and passes each on to the server over TLS."""

    def __init__(self, database: DatabaseSettings, context: ssl.SSLContext, listener: socket.socket) -> None:
        self._database = database
        self._context = context
        self._listener = listener
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()

    def run(self) -> None:
        """Relay until `stop`."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    def stop(self) -> None:
        """End all connections."""
        self._loop.call_soon_threadsafe(self._ended.set)

    async def _serve(self) -> None:
        server = await asyncio.start_unix_server(self._accept, sock=self._listener)
        await self._ended.wait()
        server.close()
        # The programs have ended, so their connections are about to end.
        if self._connections:
            _, left = await asyncio.wait(self._connections, timeout=_PATIENCE_SECONDS)
            for task in left:
                task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast(asyncio.Task[None], asyncio.current_task())
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        async with _closing(writer):
            try:
                theirs, ours = await self._connect()
            except OSError as error:
                # A client reports what a server says, once it has said who it is.
                with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                    await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4)
                    writer.write(_failure(f"{self._database.host}:{self._database.port}: {error}"))
                    await writer.drain()
                return
            async with _closing(ours):
                await asyncio.gather(_pass(reader, ours), _answer(theirs, writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the server, and agree on TLS.

        Raises:
            OSError: The server cannot be reached, offers no TLS, or its certificate is refused.
        """
        wire, encrypted = await asyncio.to_thread(self._ask)
        if not encrypted:
            return await asyncio.open_connection(sock=wire)
        return await asyncio.open_connection(
            sock=wire, ssl=self._context, server_hostname=self._database.host
        )

    def _ask(self) -> tuple[socket.socket, bool]:
        timeout = self._database.connect_timeout_seconds
        wire = socket.create_connection((self._database.host, self._database.port), timeout)
        wire.sendall(_SSL_REQUEST)
        # Read one byte only: bytes that an attacker appended in plain text must not be taken for the server's.
        encrypted = wire.recv(1) == b"S"
        if not encrypted and self._database.sslmode != "prefer":
            wire.close()
            raise ConnectionError(f"the server offers no TLS, and sslmode is '{self._database.sslmode}'")
        wire.setblocking(False)
        return wire, encrypted


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(_BLOCK):
            writer.write(block)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what the server sends, but for its offer of channel binding, which takes TLS up to the client."""
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        kind = b""
        while kind in (b"", _NEGOTIATE):
            head = await reader.readexactly(5)
            kind, size = head[:1], int.from_bytes(head[1:])
            message = await reader.readexactly(size - 4)
            writer.write(_without_channel_binding(message) if kind == _AUTHENTICATE else head + message)
    await _pass(reader, writer)


def _without_channel_binding(message: bytes) -> bytes:
    """Return a request for authentication that names no mechanism with channel binding. Pure."""
    code, rest = message[:4], message[4:]
    if int.from_bytes(code) == _SASL:
        names = [name for name in rest.split(b"\0") if name and not name.endswith(b"-PLUS")]
        rest = b"".join(name + b"\0" for name in names) + b"\0"
    return _AUTHENTICATE + (4 + len(code + rest)).to_bytes(4) + code + rest


def _failure(message: str) -> bytes:
    """Encode a fatal error as a PostgreSQL server sends it."""
    fields = f"SFATAL\0VFATAL\0C08006\0M{message}\0\0".encode()
    return b"E" + (4 + len(fields)).to_bytes(4) + fields
