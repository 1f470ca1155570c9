"""The predict service's ASGI application; everything is wired here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

import streamflow
from streamflow.http.api_keys import KeyFile
from streamflow.predict.features.connections import Connections
from streamflow.predict.http.access import Access, CheckedRoute, needs
from streamflow.predict.http.direct_routes import DirectRoutes
from streamflow.predict.http.errors import add_error_handlers
from streamflow.predict.http.inference_protocol import add_inference_routes
from streamflow.predict.http.middleware import RequestMiddleware
from streamflow.predict.http.openapi import complete_document
from streamflow.predict.http.routes import add_routes
from streamflow.predict.http.status import add_health_routes, add_probes, add_report_routes
from streamflow.predict.models.first_release import FirstRelease
from streamflow.predict.models.ledger import Ledger
from streamflow.predict.models.live_model import LiveModel
from streamflow.predict.models.watch import Watch
from streamflow.predict.observe import metrics
from streamflow.predict.observe.stages import Tracer
from streamflow.predict.service import Service
from streamflow.settings import Settings, TracingSettings

_KEYS_EVERY_SECONDS = 1.0
_ABOUT: dict[str, Any] = {
    "title": "StreamFlow predict",
    "version": streamflow.__version__,
    "description": "Churn probabilities from online features, by the model version behind the alias `production`.",
    "contact": {"name": "The team that runs this service"},
    "servers": [{"url": "/", "description": "Where this document comes from"}],
    "openapi_tags": [
        {"name": "predictions", "description": "Probabilities for entities, by their keys."},
        {"name": "features", "description": "The feature values that predictions are made from."},
        {"name": "v2", "description": "The same predictions in the Open Inference Protocol, version 2."},
        {"name": "status", "description": "Probes, the served version, metrics."},
    ],
}


@dataclass(frozen=True)
class Apps:
    """The ASGI applications of one process.

    Attributes:
        predictions: Serves predictions and probes; its lifespan follows the registry.
        status: Serves metrics, model status and documentation on a port of its own; None if `predictions` does.
    """

    predictions: RequestMiddleware
    status: FastAPI | None

    @property
    def direct(self) -> DirectRoutes | None:
        """What answers some routes straight from the connection; None leaves all to `predictions`."""
        return self.predictions.direct


def create_apps(settings: Settings, live: LiveModel | None = None, first: FirstRelease | None = None) -> Apps:
    """Build the ASGI applications.

    Args:
        settings: All settings.
        live: What is served; pass one to observe or control it.
        first: The release that is loaded already.
    """
    live = live or LiveModel()
    connections = Connections(settings.database, settings.predict.pool_size)
    service = Service(settings.predict, live, connections)
    needed = needs(settings.predict.join_key)
    keys = settings.predict.api_keys_file
    key_file = KeyFile(keys) if keys else None
    apart = settings.predict.status_port is not None
    tracer = _tracer(settings.tracing)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ledger = Ledger(settings.database, settings.mlflow.registered_model)
        watch = Watch(settings.predict, ledger, live, connections, first=first)
        await watch.start()
        tasks = [asyncio.create_task(watch.run())]
        if key_file is not None:
            # A task of its own: a revoked key stops working whatever the watch is busy with.
            tasks.append(asyncio.create_task(key_file.follow(_KEYS_EVERY_SECONDS)))
        logging = asyncio.create_task(service.log.run())
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # Writes the remaining answers if the database accepts them.
            await service.log.end(logging)
            watch.close()
            connections.close()
            if tracer is not None:
                await asyncio.to_thread(tracer.close)

    app = (
        FastAPI(**_ABOUT, docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
        if apart
        else FastAPIOffline(**_ABOUT, redoc_url=None, lifespan=lifespan)
    )
    app.router.route_class = CheckedRoute
    add_routes(app, service)
    add_health_routes(app, live)
    if not apart:
        add_report_routes(app, live)
    add_inference_routes(app, service)
    complete_document(app, needed)
    add_error_handlers(app)
    metrics.DRAINING.set_function(lambda: float(live.draining))
    predictions = RequestMiddleware(app, service, Access(app.routes, needed, key_file), tracer)
    return Apps(predictions, _status_app(app, live) if apart else None)


def _tracer(settings: TracingSettings) -> Tracer | None:
    if not settings.endpoint:
        return None
    # Without tracing, no process loads the SDK.
    from streamflow.predict.observe.otlp import OtlpTracer

    return OtlpTracer(settings)


def _status_app(described: FastAPI, live: LiveModel) -> FastAPI:
    """Metrics, probes, model status, and the documentation of another application."""
    app: FastAPI = FastAPIOffline(**_ABOUT, redoc_url=None)
    add_probes(app, live)
    add_report_routes(app, live)
    add_error_handlers(app)
    app.openapi = described.openapi  # type: ignore[method-assign]
    return app
