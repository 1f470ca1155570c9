"""MLflow's app `streamflow`: logins, only promoters move versions, and every move has the name of who asked for it."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, current_app, g, request
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.protos import model_registry_pb2 as messages
from mlflow.server import app as mlflow_app
from mlflow.server import auth, handlers

from streamflow import log
from streamflow import settings as settings_module
from streamflow.mlflow_server.accounts import PROMOTER
from streamflow.model_version import asked, tags
from streamflow.model_version.asked import Asked

_LOG = log.get(__name__)
_METRICS = "/metrics"
_MOVES = (
    messages.SetRegisteredModelAlias,
    messages.DeleteRegisteredModelAlias,
    messages.TransitionModelVersionStage,
)
_REMOVALS = (messages.DeleteModelVersion, messages.DeleteRegisteredModel, messages.RenameRegisteredModel)
_TAGS = (
    messages.SetModelVersionTag,
    messages.DeleteModelVersionTag,
    messages.SetRegisteredModelTag,
    messages.DeleteRegisteredModelTag,
)
_CREATIONS = (messages.CreateModelVersion, messages.CreateRegisteredModel)
_KINDS = {
    (path, method): kind
    for path, kind, methods in handlers.get_endpoints(lambda kind: kind)
    for method in methods
    if kind in (*_MOVES, *_REMOVALS, *_TAGS, *_CREATIONS)
}
"""Message of each request that is looked at, by path and method."""


def create_app(app: Flask = mlflow_app) -> Any:
    """MLflow's app with its logins and this module's rules; MLflow calls it in each worker.

    Args:
        app: MLflow's Flask app.

    Returns:
        What the server serves.
    """
    settings = settings_module.load()
    log.configure(settings.log)
    # Before MLflow asks for a login: Prometheus has none, and the network policy says who reaches the port.
    app.before_request(_serve_metrics)
    served = auth.create_app(app)
    # After it: the account is known, and MLflow allows it the request.
    app.before_request(functools.partial(_before, settings.mlflow.registered_model))
    app.after_request(functools.partial(_after, settings.mlflow.registered_model))
    return served


def _serve_metrics() -> Any:
    if request.path != _METRICS or request.endpoint is None:
        return None
    return current_app.view_functions[request.endpoint](**(request.view_args or {}))


@handlers.catch_mlflow_exception  # type: ignore[untyped-decorator]
def _before(model: str) -> Response | None:
    """Refuse what the account may not do to the model; record who asks for a move, before it is made."""
    message = _message()
    if message is None or model not in (message.name, getattr(message, "new_name", "")):
        return None
    why = _refusal(message)
    if why:
        body = {"error_code": "PERMISSION_DENIED", "message": why}
        return current_app.response_class(
            current_app.json.dumps(body), status=403, mimetype="application/json"
        )
    if isinstance(message, _MOVES):
        _record(message)
    return None


def _message() -> Any:
    kind = _KINDS.get((request.path, request.method))
    return None if kind is None else handlers._get_request_message(kind())


def _refusal(message: Any) -> str:
    """Why the account may not do this; "" if it may."""
    if isinstance(message, _TAGS) and message.key.startswith(asked.PREFIX):
        return f"MLflow's server alone writes tags that begin with '{asked.PREFIX}'."
    if isinstance(message, _CREATIONS) and any(tag.key.startswith(asked.PREFIX) for tag in message.tags):
        return f"MLflow's server alone writes tags that begin with '{asked.PREFIX}'."
    model_tags = (messages.SetRegisteredModelTag, messages.DeleteRegisteredModelTag)
    guarded = isinstance(message, (*_MOVES, *_REMOVALS)) or (
        isinstance(message, model_tags) and message.key.startswith(tags.PREFIX)
    )
    if guarded and not _may_promote(g.mlflow_authenticated_user):
        return (
            f"The account '{g.mlflow_authenticated_user}' lacks the role '{PROMOTER}', which may move and remove versions"
            f" of {message.name}. Ask an administrator of this MLflow for the role."
        )
    return ""


def _may_promote(name: str) -> bool:
    user = auth.store.get_user(name)
    return user.is_admin or PROMOTER in {role.name for role in auth.store.list_user_roles(user.id)}


def _record(message: Any) -> None:
    """Write the tag that says who asks. Before the move: the registrar may look at any time after it."""
    store = handlers._get_model_registry_store()
    version, stage = getattr(message, "version", ""), getattr(message, "stage", "")
    if version:
        found = store.get_model_version(message.name, version)
        why = asked.reason_of(found.tags, found.description)
    else:
        why = asked.reason_of(store.get_registered_model(message.name).tags, "")
    said = Asked(
        asked.one_line(g.mlflow_authenticated_user),
        datetime.now(UTC).isoformat(timespec="microseconds"),
        why,
        stage,
    )
    name = asked.STAGE if stage else asked.alias_tag(message.alias)
    _LOG.info(
        "move asked for",
        by=said.by,
        model=message.name,
        version=version,
        alias=getattr(message, "alias", ""),
        stage=stage,
        why=why,
    )
    if version:
        store.set_model_version_tag(message.name, version, ModelVersionTag(name, said.to_tag()))
    else:
        store.set_registered_model_tag(message.name, RegisteredModelTag(name, said.to_tag()))


def _after(model: str, response: Response) -> Response:
    """Take the tag with the reason away once the move is made: the next move has a reason of its own."""
    message = _message() if response.status_code == 200 else None
    if message is None or not isinstance(message, _MOVES) or message.name != model:
        return response
    store, version = handlers._get_model_registry_store(), getattr(message, "version", "")
    if not version and asked.REASON in store.get_registered_model(model).tags:
        store.delete_registered_model_tag(model, asked.REASON)
    elif version and asked.REASON in store.get_model_version(model, version).tags:
        store.delete_model_version_tag(model, version, asked.REASON)
    return response
