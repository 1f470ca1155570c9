"""The core of predict: entities' keys -> features -> checks -> probabilities. It does not know HTTP."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from streamflow.canary import in_canary
from streamflow.eligibility import Policy
from streamflow.encoding import UnknownCategoryError
from streamflow.http.problems import Problem, ProblemError
from streamflow.model_version.aliases import CANARY, CHALLENGER, PRODUCTION
from streamflow.predict.batcher import Batcher, OverloadedError, Waiter
from streamflow.predict.features import online_facts
from streamflow.predict.features.connections import Connections
from streamflow.predict.features.online_facts import OnlineFacts
from streamflow.predict.features.read_plan import schema_mismatch
from streamflow.predict.models.explain import explain
from streamflow.predict.models.live_model import LiveModel, Served
from streamflow.predict.observe import metrics, stages
from streamflow.predict.observe.stages import Stage
from streamflow.predict.outcome import Outcome
from streamflow.predict.prediction_log import PredictionLog
from streamflow.predict.shadow import count_differences
from streamflow.settings import PredictSettings

_THREAD_FROM_ROWS = 64
"""Number of rows from which inference runs in a thread; for fewer rows the handover costs more than it saves."""

_IN_FLIGHT = 2
"""Concurrent batches: one is read while the other is computed. More would only make batches smaller, and a forest costs
less per row in a larger batch (docs/performance.md)."""


_FULL_REQUESTS = 8
"""Number of full batch requests that may always wait, even if `max_queue` is smaller."""


class Service:
    """Batches concurrent requests: one queue for single entities, one for requests for several."""

    def __init__(self, settings: PredictSettings, live: LiveModel, connections: Connections) -> None:
        self.settings = settings
        self._policy = Policy(settings.require_newest_as_of)
        self.live = live
        self.log = PredictionLog(settings, connections, lambda: live.newest)
        self._connections = connections
        self._batcher: Batcher[str, Outcome] = Batcher(
            self._answer_now,
            max_batch=settings.max_batch,
            max_queue=settings.max_queue,
            deadline_seconds=settings.deadline_seconds / 2,
            in_flight=min(_IN_FLIGHT, settings.pool_size),
        )
        # A separate queue: one version answers the whole request, so the canary has no part in it.
        self._requests: Batcher[Sequence[str], list[Outcome]] = Batcher(
            self._answer_requests,
            max_batch=settings.max_batch,
            max_queue=max(settings.max_queue, _FULL_REQUESTS * settings.max_request_entities),
            deadline_seconds=settings.deadline_seconds / 2,
            in_flight=min(_IN_FLIGHT, settings.pool_size),
            weigh=len,
        )
        self._shadow: asyncio.Future[None] | None = None
        metrics.QUEUE.set_function(lambda: float(len(self._batcher) + len(self._requests)))

    def serving(self) -> Served:
        """Return the current release.

        Raises:
            ProblemError: No model is served (`model_unavailable`).
        """
        if self.live.served is None:
            raise ProblemError(_no_model(self.live))
        return self.live.served

    async def one(self, key: str) -> Outcome:
        """Answer one entity, in a batch with concurrent requests.

        Raises:
            ProblemError: The service cannot answer at all (model, feature store, overload).
        """
        self.serving()
        try:
            return await self._batcher.submit(key)
        except OverloadedError:
            raise overloaded() from None

    def ask(self, key: str, waiter: Waiter) -> None:
        """Queue one entity for somebody who waits for its outcome, an `OverloadedError` or a `ProblemError`.

        Raises:
            ProblemError: The service cannot answer at all.
            OverloadedError: Too many requests wait.
        """
        self.serving()
        self._batcher.put(key, waiter)

    async def many(self, keys: Sequence[str]) -> list[Outcome]:
        """Answer several entities by one release, in a batch with concurrent requests.

        Raises:
            ProblemError: The service cannot answer at all (model, feature store, overload).
        """
        self.serving()
        try:
            async with asyncio.timeout(self.settings.deadline_seconds):
                return await self._requests.submit(keys)
        except (OverloadedError, TimeoutError):
            raise overloaded() from None

    async def explain(self, outcome: Outcome) -> dict[str, Any]:
        """Return what each feature contributes to a probability; see `streamflow.predict.models.explain`."""
        began = time.perf_counter()
        made = await asyncio.to_thread(explain, outcome.served.release, outcome.row.values)
        name = outcome.served.release.pointer.name
        ended = time.perf_counter()
        trace = stages.of_request()
        if trace is not None:
            trace.stages.append(Stage(stages.EXPLAIN, began, ended))
        metrics.EXPLAIN_SECONDS.labels(name).observe(ended - began, stages.exemplar(trace))
        return {
            "reference_probability": made.reference_probability,
            "contributions": made.contributions,
            "reference": made.reference,
        }

    async def _answer_now(self, keys: Sequence[str]) -> Sequence[Outcome]:
        served = self.serving()
        canary = self.live.trials.get(CANARY)
        share = self.settings.canary_share
        chosen = [canary is not None and in_canary(key, share) for key in keys]
        if canary is None or not any(chosen):
            outcomes = await self._answer(served, keys)
        else:
            outcomes = await self._answer_both(served, canary, keys, chosen)
        self._start_shadow(outcomes)
        return outcomes

    async def _answer_requests(self, requests: Sequence[Sequence[str]]) -> Sequence[list[Outcome]]:
        """Answer whole requests in chunks, all by the current release."""
        served = self.serving()
        keys = [key for request in requests for key in request]
        size = self.settings.max_batch
        until = time.monotonic() + self.settings.deadline_seconds
        outcomes: list[Outcome] = []
        for start in range(0, len(keys), size):
            # The requests have timed out; the rest would only delay others.
            if time.monotonic() > until:
                raise OverloadedError
            outcomes += await self._answer(served, keys[start : start + size])
        answered = iter(outcomes)
        return [list(itertools.islice(answered, len(request))) for request in requests]

    async def _answer_both(
        self, served: Served, canary: Served, keys: Sequence[str], chosen: Sequence[bool]
    ) -> list[Outcome]:
        """Answer the chosen entities by the canary; production answers what the canary cannot."""
        asked = [key for key, is_chosen in zip(keys, chosen, strict=True) if is_chosen]
        try:
            tried = await self._answer(canary, asked, CANARY)
        except ProblemError:
            tried = []
        answered = {outcome.key: outcome for outcome in tried if outcome.problem is None}
        metrics.CANARY_FELL_BACK.labels(canary.label["version"]).inc(
            sum(key not in answered for key in asked)
        )
        rest = [key for key in keys if key not in answered]
        answered |= {outcome.key: outcome for outcome in await self._answer(served, rest)} if rest else {}
        return [answered[key] for key in keys]

    def _start_shadow(self, answered: Sequence[Outcome]) -> None:
        """Let the challenger score the same entities, one batch at a time; entities beyond that are dropped."""
        challenger = self.live.trials.get(CHALLENGER)
        if challenger is None:
            return
        if self._shadow is not None and not self._shadow.done():
            metrics.SHADOW_DROPPED.inc(len(answered))
            return
        self._shadow = asyncio.ensure_future(self._run_shadow(challenger, answered))

    async def _run_shadow(self, challenger: Served, answered: Sequence[Outcome]) -> None:
        # No request waits for it.
        stages.enter_batch(())
        try:
            shadow = await self._answer(challenger, [outcome.key for outcome in answered], CHALLENGER)
        except ProblemError:
            metrics.SHADOW_DROPPED.inc(len(answered))
            return
        count_differences(challenger, answered, shadow)

    async def _learn(self) -> OnlineFacts:
        """Read the online store's facts if it was down at the start and no poll has succeeded since.

        Raises:
            ProblemError: The online store is still down.
        """
        self.live.online = await online_facts.read(self._connections, self.settings.deadline_seconds / 2)
        return self.live.online

    async def _answer(self, served: Served, keys: Sequence[str], alias: str = PRODUCTION) -> list[Outcome]:
        try:
            outcomes = await self._read_and_infer(served, keys, alias)
        except ProblemError as error:
            if alias == PRODUCTION:
                _count_problem(error.problem, len(keys))
            raise
        _count(served, outcomes, alias)
        return outcomes

    async def _read_and_infer(self, served: Served, keys: Sequence[str], alias: str) -> list[Outcome]:
        name = served.release.pointer.name
        started = time.perf_counter()
        try:
            # Taken before the read: a materialization in between must not make fresh features look old.
            online = self.live.online or await self._learn()
            mismatch = served.plan.mismatch(online.columns)
            if mismatch is not None:
                raise ProblemError(mismatch)
            records = await self._connections.fetch(
                served.plan.statement, list(keys), timeout=self.settings.deadline_seconds / 2
            )
        except ProblemError as error:
            _trace(stages.FEATURES, started, served, alias, len(keys), error.problem.code)
            raise
        read = time.perf_counter()
        exemplar = _trace(stages.FEATURES, started, served, alias, len(keys)) if stages.of_batch() else None
        rows = [served.plan.row(record) for record in records]
        policy = self._policy if self.settings.age_clock != "wall" else replace(self._policy, now=time.time())
        try:
            problems = [
                served.plan.judge(key, row, online.newest, policy)
                for key, row in zip(keys, rows, strict=True)
            ]
            good = [i for i, problem in enumerate(problems) if problem is None]
            probabilities = await _infer(served, [rows[i].values for i in good])
        except (TypeError, ValueError):
            # A column changed its type since the last poll. The error may contain a value, so it is not shown.
            self.live.online = None
            _trace(stages.MODEL, read, served, alias, len(keys), "schema_mismatch")
            raise ProblemError(schema_mismatch("a column was changed to another type")) from None
        if stages.of_batch():
            _trace(stages.MODEL, read, served, alias, len(keys))
        metrics.PREPROCESS_SECONDS.labels(name).observe(read - started, exemplar)
        metrics.PREDICT_SECONDS.labels(name).observe(time.perf_counter() - read, exemplar)
        metrics.BATCH_ENTITIES.observe(len(keys))
        results: list[float | Problem | None] = [*problems]
        for i, result in zip(good, probabilities, strict=True):
            results[i] = result
        return [
            Outcome(key, served, row, result, None, alias)
            if isinstance(result, float)
            else Outcome(key, served, row, None, result, alias)
            for key, row, result in zip(keys, rows, results, strict=True)
        ]


async def _infer(served: Served, rows: list[tuple[Any, ...]]) -> list[float | Problem]:
    """Probabilities of complete rows; a row with an unknown category gets a problem instead."""
    if not rows:
        return []
    release = served.release
    try:
        matrix = release.encoder.encode(rows)
    except UnknownCategoryError as error:
        if len(rows) == 1:
            return [_unknown_category(error)]
        return [result for row in rows for result in await _infer(served, [row])]
    many = len(rows) >= _THREAD_FROM_ROWS
    probabilities = await asyncio.to_thread(release.infer, matrix) if many else release.infer(matrix)
    return [p if math.isfinite(p) else _not_finite(served) for p in probabilities.tolist()]


def _trace(
    name: str, began: float, served: Served, alias: str, entities: int, error: str = ""
) -> dict[str, str] | None:
    """Add a stage that ends now to the traces of this batch; return the labels of its exemplar."""
    version = served.release.pointer.version
    stage = Stage(name, began, time.perf_counter(), error, alias, version, entities)
    return stages.note(stages.of_batch(), stage)


def _count(served: Served, outcomes: Sequence[Outcome], alias: str) -> None:
    score = metrics.PREDICTION_SCORE.labels(str(served.release.pointer.version), alias)
    for outcome in outcomes:
        if outcome.probability is not None:
            score.observe(outcome.probability)
        elif outcome.problem is not None and alias == PRODUCTION:
            _count_problem(outcome.problem)


def _count_problem(problem: Problem, entities: int = 1) -> None:
    metrics.PROBLEMS.labels(problem.code, problem.members.get("reason", "")).inc(entities)
    for feature in problem.members.get("features", ()):
        metrics.FEATURE_MISSING.labels(feature).inc(entities)


def _unknown_category(error: UnknownCategoryError) -> Problem:
    detail = f"Feature {error}. Train and promote a version on data that has this value, or correct the drop."
    return Problem(
        "schema_mismatch", detail, members={"reason": "unknown_category", "features": [error.feature]}
    )


def _not_finite(served: Served) -> Problem:
    version = served.release.pointer.version
    return Problem(
        "internal_error",
        f"Version {version} did not return a finite number. Roll back with 'streamflow models rollback'.",
    )


def overloaded() -> ProblemError:
    """Count a request that is refused because the service is at its limit, and make the problem."""
    metrics.SHED.inc()
    detail = "More requests are waiting than this replica can answer in time. Try again, or add replicas."
    return ProblemError(Problem("overloaded", detail, retry_after=1))


def _no_model(live: LiveModel) -> Problem:
    if live.refused is not None:
        detail = live.refused.why
    elif not live.ledger_up:
        detail = (
            "PostgreSQL does not answer, so it is not known which version is in production."
            " The service tries again by itself."
        )
    elif live.in_production is False:
        detail = 'No version is in production. Promote one: streamflow models promote VERSION --to production --why "…".'
    else:
        detail = "The model is being loaded."
    return Problem("model_unavailable", detail, retry_after=2)
