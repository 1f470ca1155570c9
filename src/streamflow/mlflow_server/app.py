"""MLflow's apps: `streamflow` asks for logins, lets only promoters move versions, and records who asks for each move."""

from __future__ import annotations

import functools
import logging
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, current_app, g, request
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.entities.model_registry.model_version_stages import get_canonical_stage
from mlflow.protos import model_registry_pb2 as messages
from mlflow.protos.service_pb2 import CreateExperiment
from mlflow.server import app as mlflow_app
from mlflow.server import handlers

from streamflow import log
from streamflow import settings as settings_module
from streamflow.http.probes import ProbeFilter, Probes
from streamflow.mlflow_server import rules
from streamflow.mlflow_server.accounts import ADMIN
from streamflow.mlflow_server.closed import close
from streamflow.mlflow_server.full_disk import answer_full_disk
from streamflow.model_version import asked
from streamflow.model_version.asked import Asked

_LOG = log.get(__name__)
_METRICS = "/metrics"
_PROBES = ("/health",)
_ACTIONS = {
    messages.SetRegisteredModelAlias: "move",
    messages.DeleteRegisteredModelAlias: "move",
    messages.TransitionModelVersionStage: "move",
    messages.DeleteModelVersion: "remove",
    messages.DeleteRegisteredModel: "remove",
    messages.RenameRegisteredModel: "rename",
    messages.UpdateModelVersion: "describe",
    messages.CreateModelVersion: "create",
    messages.CreateRegisteredModel: "create",
    CreateExperiment: "create",
    messages.SetModelVersionTag: "version tag",
    messages.DeleteModelVersionTag: "version tag",
    messages.SetRegisteredModelTag: "model tag",
    messages.DeleteRegisteredModelTag: "model tag",
}
_KINDS = {
    (path, method): kind
    for path, kind, methods in handlers.get_endpoints(lambda kind: kind)
    for method in methods
    if kind in _ACTIONS
}
"""Message of each request that is looked at, by path and method."""


def create_app(app: Flask = mlflow_app) -> Any:
    """MLflow's app with its logins and the rules of StreamFlow; MLflow calls it in each worker.

    Args:
        app: MLflow's Flask app.

    Returns:
        What the server serves.
    """
    from mlflow.server import auth

    settings = settings_module.load()
    log.configure(settings.log)
    _log_changes_of_probes()
    # Before MLflow's check of logins: Prometheus scrapes without one, and the network policy restricts who can connect.
    app.before_request(_serve_metrics)
    served = answer_full_disk(auth.create_app(app))
    # After it: the account is known, and MLflow allows it the request.
    app.before_request(functools.partial(_before, auth, settings.mlflow.registered_model))
    app.after_request(functools.partial(_after, settings.mlflow.registered_model))
    return close(served)


def create_open_app(app: Flask = mlflow_app) -> Any:
    """MLflow's app without logins, as on a laptop."""
    from mlflow.server.fastapi_app import create_fastapi_app

    _log_changes_of_probes()
    return close(answer_full_disk(create_fastapi_app(app)))


def _log_changes_of_probes() -> None:
    logging.getLogger("uvicorn.access").addFilter(ProbeFilter(Probes(_PROBES)))


def _serve_metrics() -> Any:
    if request.path != _METRICS or request.endpoint is None:
        return None
    return current_app.view_functions[request.endpoint](**(request.view_args or {}))


@handlers.catch_mlflow_exception  # type: ignore[untyped-decorator]
def _before(auth: Any, model: str) -> Response | None:
    """Refuse what the account may not do; record who asks for a move, before it is made."""
    message = _message()
    if message is None and not (request.method == "DELETE" and auth._is_proxy_artifact_path(request.path)):
        return None
    account = g.mlflow_authenticated_user
    user = auth.store.get_user(account)
    roles = {role.name for role in auth.store.list_user_roles(user.id)} | (
        {ADMIN} if user.is_admin else set()
    )
    action = rules.Action("delete file", ours=False) if message is None else _action(message, model)
    if why := rules.refusal(action, account, roles):
        body = {"error_code": "PERMISSION_DENIED", "message": why}
        return current_app.response_class(
            current_app.json.dumps(body), status=403, mimetype="application/json"
        )
    if action.kind == "move" and action.ours:
        _record(message)
    return None


def _message() -> Any:
    kind = _KINDS.get((request.path, request.method))
    return None if kind is None else handlers._get_request_message(kind())


def _action(message: Any, model: str) -> rules.Action:
    kind = _ACTIONS[type(message)]
    ours = model in (message.name, getattr(message, "new_name", ""))
    given = {tag.key: tag.value for tag in getattr(message, "tags", ())}
    if kind in ("version tag", "model tag"):
        given = {message.key: getattr(message, "value", "")}
    number = len(given)
    if kind == "version tag" and ours:
        held = handlers._get_model_registry_store().get_model_version(message.name, message.version).tags
        number = len({*held, *given})
    return rules.Action(kind, ours, tuple(given), max(map(len, given.values()), default=0), number)


def _record(message: Any) -> None:
    """Write the tag that says who asks. Before the move: the registrar may look at any time after it."""
    store = handlers._get_model_registry_store()
    version, stage = getattr(message, "version", ""), getattr(message, "stage", "")
    if version:
        found = store.get_model_version(message.name, version)
        why = asked.reason_of(found.tags, found.description)
    else:
        why = asked.reason_of(store.get_registered_model(message.name).tags, "")
    stage = get_canonical_stage(stage) if stage else ""
    said = Asked(
        g.mlflow_authenticated_user, datetime.now(UTC).isoformat(timespec="microseconds"), why, stage
    )
    name = asked.STAGE if stage else asked.alias_tag(message.alias)
    alias = getattr(message, "alias", "")
    _LOG.info(
        "move asked for", by=said.by, model=message.name, version=version, alias=alias, stage=stage, why=why
    )
    if version:
        store.set_model_version_tag(message.name, version, ModelVersionTag(name, said.to_tag()))
    else:
        store.set_registered_model_tag(message.name, RegisteredModelTag(name, said.to_tag()))


def _after(model: str, response: Response) -> Response:
    """Take the tag with the reason away once the move is made: the next move has a reason of its own."""
    message = _message() if response.status_code == 200 else None
    if message is None or _ACTIONS[type(message)] != "move" or message.name != model:
        return response
    store, version = handlers._get_model_registry_store(), getattr(message, "version", "")
    if not version and asked.REASON in store.get_registered_model(model).tags:
        store.delete_registered_model_tag(model, asked.REASON)
    elif version and asked.REASON in store.get_model_version(model, version).tags:
        store.delete_model_version_tag(model, version, asked.REASON)
    return response
