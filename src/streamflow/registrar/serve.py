"""Run the registrar: one leader looks at MLflow every few seconds and answers requests; every replica takes them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import sqlalchemy as sa
import uvicorn
from prometheus_client import CollectorRegistry, Counter, Gauge

from streamflow import log
from streamflow.errors import Busy, DependencyDown, PromotionConflict, Refused, StreamFlowError
from streamflow.http import metrics_server
from streamflow.http import server as http_server
from streamflow.http.api_keys import KeyFile
from streamflow.http.server import QuietServer
from streamflow.postgres import locks, notifications
from streamflow.registrar import head_copy
from streamflow.registrar.api import RECEIVE_SECONDS, Api
from streamflow.registrar.api_answers import answer_waiting
from streamflow.registrar.look import forget, look
from streamflow.registrar.signing import Signer
from streamflow.registry import actions, heads
from streamflow.registry.requests import CHANNEL
from streamflow.registry.trail import Move
from streamflow.schema import claims
from streamflow.settings import Backends, PromotionSettings

_LOG = log.get(__name__)
_FORGET_SECONDS = 3600.0
_FAILED_TIMES = 15
_MOST_CONNECTIONS = 64
_KEYS_EVERY_SECONDS = 1.0
_END_SECONDS = 15.0
_SIGNAL_SECONDS = 0.5
"""Longest time until a signal is noticed, in seconds."""
_LEADER_SECONDS = 5.0
"""Time between two tries to become the leader, in seconds."""


class Registrar:
    """Looks at MLflow until it is stopped, while it is the leader.

    Args:
        backends: Where PostgreSQL, MLflow and the feature repo are.
        promotion: Rules of the gate, what to do about moves in MLflow, how often to look, the key to sign with.

    Raises:
        UsageError: The key cannot be read.
    """

    def __init__(self, backends: Backends, promotion: PromotionSettings) -> None:
        self._backends = backends
        self._promotion = promotion
        self._stopped = threading.Event()
        self._forgotten = float("-inf")
        self._reported_down = False
        self.metrics = CollectorRegistry()
        self._up = Gauge(
            "streamflow_model_registry_up", "Whether MLflow answered the last request", registry=self.metrics
        )
        self._looked = Gauge(
            "streamflow_registrar_look_timestamp_seconds",
            "When MLflow was last compared with the ledger",
            registry=self.metrics,
        )
        self._leader = Gauge(
            "streamflow_registrar_leader", "Whether this process is the leader", registry=self.metrics
        )
        self._answered = Counter(
            "streamflow_registrar_requests",
            "Requests made in MLflow or over the API, by alias and answer",
            ["alias", "answer"],
            registry=self.metrics,
        )

        self._signer = None
        if promotion.signing_key_file is not None:
            key = heads.read_private_key(promotion.signing_key_file)
            copy = head_copy.chosen(promotion)
            self._signer = Signer(backends.database, key, copy, self.metrics)

    def run(self) -> None:
        """Wait to be the leader, then look until stopped; a look that fails is logged and tried again."""
        model = self._backends.mlflow.registered_model
        while not self._stopped.is_set():
            try:
                with locks.held_if_free(self._backends.database, locks.of_registrar(model)) as connection:
                    self._leader.set(connection is not None)
                    if connection is not None:
                        claims.check(connection, self._backends.database)
                        self._lead(connection)
            except (DependencyDown, Refused) as error:
                _LOG.warning("registrar waits", why=error.what)
            except sa.exc.OperationalError as error:
                # With the connection, the lock is lost: another process may lead now.
                _LOG.warning("registrar leads no more", **log.describe(error))
            self._leader.set(0)
            self._stopped.wait(_LEADER_SECONDS)

    def look_once(self) -> bool:
        """Look at MLflow, answer requests and sign; return whether that worked, or only a server was away."""
        # Nobody may promote by a ledger that was rewritten.
        if not self._tried(self._sign):
            return False
        return all([self._tried(self._look), self._tried(self._answer), self._tried(self._sign)])

    def stop(self) -> None:
        """End `run` after the look in progress."""
        self._stopped.set()

    def _lead(self, connection: sa.Connection) -> None:
        _LOG.info("registrar leads")
        notifications.listen(connection, CHANNEL)
        # What the gate imports takes seconds to load, which the first request should not wait for.
        threading.Thread(
            target=importlib.import_module, args=("streamflow.gate.gather",), daemon=True
        ).start()
        while not self._stopped.is_set():
            pause = self._promotion.look_seconds
            # What failed for a reason of its own would fail again at once, after seconds of work.
            self._wait(connection, pause if self.look_once() else _FAILED_TIMES * pause)

    def _wait(self, connection: sa.Connection, seconds: float) -> None:
        """Wait, but not beyond the next request or signal."""
        end = time.monotonic() + seconds
        while not self._stopped.is_set() and (left := end - time.monotonic()) > 0:
            if notifications.wait(connection, min(left, _SIGNAL_SECONDS)):
                return

    def _tried(self, step: Callable[[], None]) -> bool:
        """Take a step; return whether that worked, or only a server was away."""
        try:
            step()
        except DependencyDown as error:
            self._mlflow_is(False, error.what)
        except (Busy, PromotionConflict) as error:
            _LOG.info("another move came first", why=error.what)
        except StreamFlowError as error:
            _LOG.error("look failed", why=error.what)
            return False
        except Exception:
            _LOG.exception("look failed")
            return False
        return True

    def _sign(self) -> None:
        if self._signer is not None:
            self._signer.sign()

    def _look(self) -> None:
        for move in look(self._backends, self._promotion):
            self._note(move)
        self._mlflow_is(True, "")
        self._looked.set_to_current_time()
        if time.monotonic() - self._forgotten > _FORGET_SECONDS:
            forget(self._backends, self._promotion.keep_releases)
            self._forgotten = time.monotonic()

    def _answer(self) -> None:
        for move in answer_waiting(self._backends, self._promotion):
            self._note(move)

    def _note(self, move: Move) -> None:
        answer = "refused" if actions.REFUSED in move.facts else "done"
        self._answered.labels(move.alias, answer).inc()
        _LOG.info("request answered", alias=move.alias, version=move.to_version, answer=answer)

    def _mlflow_is(self, up: bool, why: str) -> None:
        self._up.set(up)
        if not up and not self._reported_down:
            _LOG.warning("MLflow cannot be compared with the ledger", why=why)
        self._reported_down = not up


def serve(backends: Backends, promotion: PromotionSettings, host: str, port: int) -> None:
    """Run the registrar until a signal ends the process.

    Args:
        backends: Where PostgreSQL, MLflow and the feature repo are.
        promotion: Rules of the gate, what to do about moves in MLflow, how often to look, the API's port and keys.
        host: Address that metrics, health and the API are served at.
        port: TCP port of metrics and health.

    Raises:
        DependencyDown: A port is in use.
        UsageError: The API keys cannot be read.
    """
    registrar = Registrar(backends, promotion)
    # As the first process of a container, Python would ignore SIGTERM.
    signal.signal(signal.SIGTERM, lambda number, frame: registrar.stop())
    with (
        _api(backends, promotion, host) as api,
        metrics_server.serving(registrar.metrics, host, port, api.is_alive),
    ):
        registrar.run()


@contextlib.contextmanager
def _api(backends: Backends, promotion: PromotionSettings, host: str) -> Iterator[threading.Thread]:
    """Serve the API in a thread for the duration of a `with` block."""
    keys = KeyFile(promotion.api_keys_file) if promotion.api_keys_file else None
    app = Api(backends.database, backends.mlflow.registered_model, keys)
    bound = http_server.bind(host, promotion.api_port, "STREAMFLOW_PROMOTION__API_PORT")
    config = http_server.config(app, host, promotion.api_port, _MOST_CONNECTIONS, lifespan="off")
    server = _KeyedServer(config, keys)
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    _LOG.info("serving promotions", host=host, port=promotion.api_port, keys=keys is not None)
    try:
        yield thread
    finally:
        server.should_exit = True
        thread.join(_END_SECONDS)


class _KeyedServer(QuietServer):
    """A server that reads its API keys again when their file has changed."""

    def __init__(self, config: uvicorn.Config, keys: KeyFile | None) -> None:
        super().__init__(config, RECEIVE_SECONDS)
        self._keys = keys

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to end."""
        following = None
        if self._keys is not None:
            following = asyncio.create_task(self._keys.follow(_KEYS_EVERY_SECONDS))
        try:
            await super().serve(sockets)
        finally:
            if following is not None:
                following.cancel()
