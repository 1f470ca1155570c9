"""The predict service's ASGI application; everything is wired here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

import streamflow
from streamflow.predict.features.connections import Connections
from streamflow.predict.http.access import Access, CheckedRoute, needs
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

_KEYS_EVERY_SECONDS = 1.0


def create_app(settings: Settings, live: LiveModel | None = None) -> RequestMiddleware:
    """Build the ASGI application.

    Args:
        settings: All settings.
        live: What is served; pass one to observe or control it.
    """
    live = live or LiveModel()
    connections = Connections(settings.database, settings.predict.pool_size)
    service = Service(settings.predict, live, connections)
    needed = needs(settings.predict.join_key)
    keys = settings.predict.api_keys_file
    key_file = KeyFile(keys) if keys else None

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watch = Watch(settings.predict, settings.mlflow, live, connections)
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
            await watch.close()
            connections.close()

    app = FastAPIOffline(
        title="StreamFlow predict",
        version=streamflow.__version__,
        description="Churn probabilities from online features, by the model version behind the alias `production`.",
        lifespan=lifespan,
        redoc_url=None,
    )
    app.router.route_class = CheckedRoute
    add_routes(app, service)
    add_status_routes(app, service)
    add_inference_routes(app, service)
    complete_document(app, needed)
    add_error_handlers(app)
    metrics.DRAINING.set_function(lambda: float(live.draining))
    return RequestMiddleware(app, service, Access(app.routes, needed, key_file))
