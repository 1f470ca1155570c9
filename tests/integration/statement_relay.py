"""A relay in front of PostgreSQL that counts the statements of a process and kills it at one of them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

_STATEMENTS = frozenset(b"QEdcf")
"""Messages of the client that make PostgreSQL do something: Query, Execute, and those of a COPY."""


@dataclass
class Relay:
    """What a relay has seen.

    Attributes:
        port: TCP port that it listens on.
        kill_at: Number of the statement at which the process is killed: once PostgreSQL has it, or just before.
        before: Whether PostgreSQL never gets that statement.
        pid: Process to kill; None until it is known.
        seen: Number of statements so far, over all connections.
        killed: Whether the process was killed.
    """

    port: int
    kill_at: int | None
    before: bool
    pid: int | None = None
    seen: int = 0
    killed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def statement(self) -> bool:
        """Count a statement; return whether it may go on."""
        with self.lock:
            if self.killed:
                return False
            self.seen += 1
            if self.seen != self.kill_at:
                return True
            self.killed = True
            return not self.before

    def strike(self) -> None:
        """Kill the process."""
        assert self.pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


@contextlib.contextmanager
def relaying(upstream: int, kill_at: int | None = None, *, before: bool = False) -> Iterator[Relay]:
    """Relay connections to the port `upstream` of this machine for the duration of a `with` block."""
    listener = socket.create_server(("127.0.0.1", 0))
    relay = Relay(listener.getsockname()[1], kill_at, before)
    threading.Thread(target=_accept, args=(listener, upstream, relay), daemon=True).start()
    try:
        yield relay
    finally:
        listener.close()


def _accept(listener: socket.socket, upstream: int, relay: Relay) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", upstream))
            threading.Thread(target=_both_ways, args=(client, server, relay), daemon=True).start()


def _both_ways(client: socket.socket, server: socket.socket, relay: Relay) -> None:
    with client, server:
        back = threading.Thread(target=_copy, args=(server, client), daemon=True)
        back.start()
        _forward(client, server, relay)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def _forward(client: socket.socket, server: socket.socket, relay: Relay) -> None:
    """Forward the client's messages, one by one. The first ones, which start a session, have no type."""
    with contextlib.suppress(OSError, EOFError), client.makefile("rb") as stream:
        started = False
        while True:
            kind = b"" if started else None
            if started:
                kind = _exactly(stream, 1)
            head = _exactly(stream, 4)
            (length,) = struct.unpack("!I", head)
            body = _exactly(stream, length - 4)
            if not started:
                # A request for TLS or GSSAPI is answered with one byte, and followed by the real start.
                started = struct.unpack("!I", body[:4])[0] not in (80877103, 80877104)
                server.sendall(head + body)
                continue
            goes_on = relay.statement() if kind[0] in _STATEMENTS else True
            if goes_on:
                server.sendall(kind + head + body)
            if relay.killed:
                relay.strike()
    for each in (client, server):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def _exactly(stream, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data
