"""The predict service's ASGI application; everything is wired here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.routing import Match

import streamflow
from streamflow.predict.features.connections import Connections
from streamflow.predict.http.api_keys import KeyFile
from streamflow.predict.http.errors import add_error_handlers
from streamflow.predict.http.inference_protocol import add_inference_routes
from streamflow.predict.http.middleware import RequestMiddleware
from streamflow.predict.http.openapi import complete_document
from streamflow.predict.http.routes import add_routes
from streamflow.predict.http.status import add_status_routes
from streamflow.predict.models.live_model import LiveModel
from streamflow.predict.models.watch import Watch
from streamflow.predict.observe import metrics
from streamflow.predict.service import Service
from streamflow.settings import Settings


def create_app(settings: Settings, live: LiveModel | None = None) -> RequestMiddleware:
    """Build the ASGI application.

    Args:
        settings: All settings.
        live: What is served; pass one to observe or control it.
    """
    live = live or LiveModel()
    connections = Connections(settings.database, settings.predict.pool_size)
    service = Service(settings.predict, live, connections)
    keys = settings.predict.api_keys_file
    key_file = KeyFile(keys) if keys else None

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watch = Watch(
            settings.predict,
            settings.mlflow,
            live,
            connections,
            refresh=key_file.refresh if key_file else None,
        )
        await watch.start()
        watching, logging = asyncio.create_task(watch.run()), asyncio.create_task(service.log.run())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            # Writes the remaining answers if the database accepts them.
            await service.log.end(logging)
            await watch.close()
            connections.close()

    app = FastAPIOffline(
        title="StreamFlow predict",
        version=streamflow.__version__,
        description="Churn probabilities from online features, by the model version behind the alias `production`.",
        lifespan=lifespan,
        redoc_url=None,
    )
    add_routes(app, service)
    add_status_routes(app, service)
    add_inference_routes(app, service)
    complete_document(app)
    add_error_handlers(app)
    metrics.DRAINING.set_function(lambda: float(live.draining))
    return RequestMiddleware(app, service, key_file, lambda scope: _template_of(app, scope))


def _template_of(app: FastAPI, scope: MutableMapping[str, Any]) -> str | None:
    for route in app.routes:
        if route.matches(scope)[0] is not Match.NONE:
            return getattr(route, "path", None)
    return None
