"""Run the registrar: one leader looks at MLflow every few seconds; metrics and health over HTTP."""

from __future__ import annotations

import importlib
import signal
import threading
import time
from http.server import ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import MetricsHandler

from streamflow import log
from streamflow.errors import Busy, DependencyDown, PromotionConflict, StreamFlowError
from streamflow.postgres import locks
from streamflow.registrar.look import forget, look
from streamflow.registry import actions
from streamflow.settings import Backends, PromotionSettings

_LOG = log.get(__name__)
_FORGET_SECONDS = 3600.0
_FAILED_TIMES = 15
_LEADER_SECONDS = 5.0
"""Time between two tries to become the leader, in seconds."""


class Registrar:
    """Looks at MLflow until it is stopped, while it is the leader.

    Args:
        backends: Where PostgreSQL, MLflow and the feature repo are.
        promotion: Rules of the gate, what to do about moves in MLflow, how often to look.
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
            "Requests made in MLflow, by alias and answer",
            ["alias", "answer"],
            registry=self.metrics,
        )

    def run(self) -> None:
        """Wait to be the leader, then look until stopped; a look that fails is logged and tried again."""
        model = self._backends.mlflow.registered_model
        while not self._stopped.is_set():
            try:
                with locks.held_if_free(self._backends.database, locks.of_registrar(model)) as leads:
                    self._leader.set(leads)
                    if leads:
                        self._lead()
            except DependencyDown as error:
                _LOG.warning("registrar waits", why=error.what)
            self._stopped.wait(_LEADER_SECONDS)

    def stop(self) -> None:
        """End `run` after the look in progress."""
        self._stopped.set()

    def _lead(self) -> None:
        _LOG.info("registrar leads")
        # What the gate imports takes seconds to load, which the first request should not wait for.
        threading.Thread(
            target=importlib.import_module, args=("streamflow.gate.gather",), daemon=True
        ).start()
        while not self._stopped.is_set():
            pause = self._promotion.look_seconds
            # What failed for a reason of its own would fail again at once, after seconds of work.
            self._stopped.wait(pause if self._look() else _FAILED_TIMES * pause)

    def _look(self) -> bool:
        """Look once; return whether that worked, or only a server was away."""
        try:
            for move in look(self._backends, self._promotion):
                answer = "refused" if actions.REFUSED in move.facts else "done"
                self._answered.labels(move.alias, answer).inc()
                _LOG.info("request answered", alias=move.alias, version=move.to_version, answer=answer)
            self._mlflow_is(True, "")
            self._looked.set_to_current_time()
            if time.monotonic() - self._forgotten > _FORGET_SECONDS:
                forget(self._backends, self._promotion.keep_releases)
                self._forgotten = time.monotonic()
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

    def _mlflow_is(self, up: bool, why: str) -> None:
        self._up.set(up)
        if not up and not self._reported_down:
            _LOG.warning("MLflow cannot be compared with the ledger", why=why)
        self._reported_down = not up


def serve(backends: Backends, promotion: PromotionSettings, host: str, port: int) -> None:
    """Run the registrar until a signal ends the process.

    Args:
        backends: Where PostgreSQL, MLflow and the feature repo are.
        promotion: Rules of the gate, what to do about moves in MLflow, how often to look.
        host: Address that metrics and health are served at.
        port: TCP port of these.
    """
    registrar = Registrar(backends, promotion)
    # As the first process of a container, Python would ignore SIGTERM.
    signal.signal(signal.SIGTERM, lambda number, frame: registrar.stop())
    with ThreadingHTTPServer((host, port), _handler(registrar.metrics)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _LOG.info("serving", host=host, port=port)
        try:
            registrar.run()
        finally:
            server.shutdown()


def _handler(metrics: CollectorRegistry) -> type[MetricsHandler]:
    class Handler(MetricsHandler):
        registry = metrics

        def do_GET(self) -> None:  # noqa: N802
            """Answer a probe, or with the metrics."""
            if self.path == "/healthz":
                self.send_response(200)
                self.send_header("Content-Length", "3")
                self.end_headers()
                self.wfile.write(b"ok\n")
            else:
                super().do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Discard the access log that the base class would write."""

    return Handler
