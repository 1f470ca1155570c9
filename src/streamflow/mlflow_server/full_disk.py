"""Answers 507 when the disk of MLflow's artifacts is full: MLflow's own 500 could be anything, and is sent again."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from streamflow import disk_full, log

_LOG = log.get(__name__)


def answer_full_disk(app: FastAPI) -> FastAPI:
    """Have MLflow's app say that a disk is full; return the app."""
    app.add_exception_handler(OSError, _failed)
    return app


async def _failed(_request: Request, error: Exception) -> JSONResponse:
    full = disk_full.behind(error)
    if full is None:
        raise error
    _LOG.error("a disk is full", why=full.what)
    body = {"error_code": "RESOURCE_EXHAUSTED", "message": "The disk of MLflow's artifacts is full."}
    return JSONResponse(body, HTTPStatus.INSUFFICIENT_STORAGE)
