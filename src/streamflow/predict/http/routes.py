"""Routes of predictions and features; each reads a request, asks `Service` and writes the answer."""

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse

from streamflow.http.problems import ProblemError
from streamflow.predict.http import answers, requests
from streamflow.predict.http.openapi import REFUSED, UNABLE, documented, key_parameter, request_body
from streamflow.predict.http.schema import Schemas
from streamflow.predict.observe import metrics
from streamflow.predict.service import Service


def add_routes(app: FastAPI, service: Service) -> None:
    """Add the routes of predictions and features."""
    schemas = Schemas(service.settings.join_key, service.settings.max_request_entities)
    _add_predictions(app, service, schemas)
    _add_features(app, service, schemas)


def _add_predictions(app: FastAPI, service: Service, schemas: Schemas) -> None:
    join_key = service.settings.join_key

    @app.post(
        "/predict",
        operation_id="predict",
        summary="Probability for one entity",
        tags=["predictions"],
        response_model=schemas.answer,
        response_model_exclude_none=True,
        responses={**documented(*UNABLE, *REFUSED), 200: {"model": schemas.answer}},
        openapi_extra={"requestBody": request_body(schemas.request)},
    )
    async def predict(
        request: Request,
        features: bool = Query(False, description="Add the features used; needs the scope `features` too."),
        explain: bool = Query(
            False, description="Add what each feature contributes; needs the scope `features` too."
        ),
    ) -> Response:
        """Answer with the probability by the version in production, or with the reason why there is none."""
        outcome = await service.one(requests.read_key(await request.body(), join_key))
        if outcome.problem is not None:
            raise ProblemError(outcome.problem)
        service.log.offer(outcome, request.state.request_id)
        explanation = await service.explain(outcome) if explain else None
        with metrics.postprocessing(outcome.served.release.pointer.name):
            document = answers.prediction(outcome, request.state.request_id)
            if features:
                document["features"] = answers.features(outcome, service.live, service.settings)
            if explanation is not None:
                document["explanation"] = explanation
            return JSONResponse(document)

    @app.post(
        "/predict/batch",
        operation_id="predict_batch",
        summary="Probabilities for several entities, all by one model version",
        tags=["predictions"],
        responses={**documented(*UNABLE), 200: {"model": schemas.batch_answer}},
        openapi_extra={"requestBody": request_body(schemas.batch_request)},
    )
    async def predict_batch(request: Request) -> Response:
        """Answer in the order of the keys; an entity without a prediction has a `problem` in its place."""
        keys = requests.read_keys(await request.body(), join_key, service.settings.max_request_entities)
        outcomes = await service.many(keys)
        for outcome in outcomes:
            service.log.offer(outcome, request.state.request_id)
        with metrics.postprocessing(outcomes[0].served.release.pointer.name):
            return JSONResponse(answers.batch(outcomes, request.state.request_id))


def _add_features(app: FastAPI, service: Service, schemas: Schemas) -> None:
    join_key = service.settings.join_key

    @app.get(
        f"/features/{{{join_key}}}",
        operation_id="get_features",
        summary="The features the served model would use for one entity",
        tags=["features"],
        responses={**documented(*UNABLE, "missing_features"), 200: {"model": schemas.features}},
        openapi_extra={"parameters": [key_parameter(join_key)]},
    )
    async def get_features(request: Request) -> Response:
        """Answer with each value, its as-of and its age, and with the `problem` that `/predict` would answer with."""
        outcome = await service.one(requests.check_key(request.path_params[join_key], join_key))
        content = answers.features_bytes(outcome, service.live, service.settings, request.state.request_id)
        return Response(content, media_type="application/json")
