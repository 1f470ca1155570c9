"""Connections on which nothing moves are closed, and no others."""

from types import SimpleNamespace

from streamflow.http.stalled import StalledConnections


class Connection:
    """The attributes of a uvicorn connection that are read."""

    def __init__(self):
        self.cycle = None
        self.timeout_keep_alive_task = None
        self.closed = False
        self.unread = 0
        self.transport = SimpleNamespace(
            close=self.close, abort=self.close, get_write_buffer_size=lambda: self.unread
        )

    def close(self):
        self.closed = True


def test_only_connections_with_overdue_headers_are_closed():
    heads = StalledConnections(10.0, 30.0)
    connections = [Connection() for _ in range(4)]
    _, busy, idle, steady = connections
    busy.cycle = SimpleNamespace(response_complete=False)
    idle.cycle = SimpleNamespace(response_complete=True)
    idle.timeout_keep_alive_task = object()
    for now in range(10):
        # A new request between any two checks, and half of the next one's headers.
        steady.cycle = SimpleNamespace(response_complete=True)
        heads.sweep(connections, float(now))
    assert not any(connection.closed for connection in connections)
    for now in range(10, 30):
        steady.cycle = SimpleNamespace(response_complete=True)
        heads.sweep(connections, float(now))
    assert [connection.closed for connection in connections] == [True, False, False, False]


def test_only_connections_whose_answers_stay_unread_are_closed():
    stalled = StalledConnections(10.0, 30.0)
    connections = [Connection() for _ in range(3)]
    never, sometimes, always = connections
    for connection in connections:
        connection.cycle = SimpleNamespace(response_complete=False)
    for now in range(60):
        never.unread, sometimes.unread, always.unread = 1000, 1000 if now % 30 else 0, 0
        stalled.sweep(connections, float(now))
        assert never.closed == (now > 30)
    assert not sometimes.closed
    assert not always.closed
