"""Follow the registry: a newly promoted version is fetched, checked and swapped in, or refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from streamflow import log, release_check
from streamflow.errors import DependencyDown, ReleaseRefused
from streamflow.mlflow_api.serving_client import ServingClient
from streamflow.model_version.aliases import CANARY, CHALLENGER, PRODUCTION
from streamflow.predict.features import online_facts
from streamflow.predict.features.connections import Connections
from streamflow.predict.models import cache
from streamflow.predict.models.live_model import LiveModel, RefusedVersion, Served, Source, make_served
from streamflow.predict.models.memory import trim
from streamflow.predict.observe import metrics
from streamflow.predict.problems import ProblemError
from streamflow.release import Release, VersionPointer
from streamflow.settings import MlflowSettings, PredictSettings

_LOG = log.get(__name__)
_RETRY_REFUSED_SECONDS = 60.0
_PATIENCE_SECONDS = 2.0
"""Longest wait for the registry's first answer if a release is cached."""
_TRIALS_EVERY = 2
"""Trials are checked at every second poll, because they take two more requests to the registry."""


class Watch:
    """Polls the registry and the online store; one task for the life of the service.

    Args:
        settings: Settings of predict.
        mlflow: How to reach the registry.
        live: What is served; changed in place.
        connections: Connections to the online store.
        clock: Returns the current time in seconds since 1970.
    """

    def __init__(
        self,
        settings: PredictSettings,
        mlflow: MlflowSettings,
        live: LiveModel,
        connections: Connections,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._live = live
        self._connections = connections
        self._name = mlflow.registered_model
        self._clock = clock
        self._registry = ServingClient(mlflow.tracking_uri, mlflow.timeout_seconds)
        self._reported_down = False
        self._polls = 0
        self._patience: float | None = None

    async def start(self) -> None:
        """Load a release from the registry, or else from the cache; the service starts without one if both fail."""
        folder = self._settings.cache_dir
        cached = cache.pointer_of(folder, self._name) if folder is not None else None
        # With a cached release, do not wait for a registry that hangs.
        self._patience = _PATIENCE_SECONDS if cached is not None else None
        try:
            await self.poll()
        except Exception:
            _LOG.exception("first poll failed")
        self._patience = None
        if self._live.served is None and folder is not None and cached is not None:
            await self._serve_cached(folder, cached)

    async def run(self) -> None:
        """Poll until cancelled; a poll that fails is logged."""
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            try:
                await self.poll()
            except Exception:
                _LOG.exception("poll failed")

    async def close(self) -> None:
        """Close the connections to the registry."""
        await self._registry.close()

    async def poll(self) -> None:
        """Ask the registry and the online store once."""
        await asyncio.gather(self._poll_registry(), self.poll_online())
        if self._live.served is not None and self._live.registry_up and self._polls % _TRIALS_EVERY == 0:
            for alias in (CANARY, CHALLENGER):
                await self._poll_trial(alias)
        self._polls += 1

    async def poll_online(self) -> None:
        """Read the newest as-of and the columns of each view; keep the former ones if the online store is down."""
        try:
            facts = await online_facts.read(self._connections, self._settings.deadline_seconds)
        except ProblemError:
            metrics.STORE_UP.set(0)
            return
        metrics.STORE_UP.set(1)
        if self._live.online != facts:
            self._live.online = facts
        for view, newest in facts.newest.items():
            metrics.NEWEST_AS_OF.labels(view).set(newest)

    async def _poll_registry(self) -> None:
        try:
            pointer = await self._registry.resolve(self._name, PRODUCTION, patience_seconds=self._patience)
        except DependencyDown as error:
            self._registry_is(False, str(error))
            return
        self._registry_is(True, "")
        self._live.alias_set = pointer is not None
        if pointer is None or self._is_served(pointer) or self._is_refused(pointer):
            return
        await self._load(pointer)

    def _registry_is(self, up: bool, why: str) -> None:
        self._live.registry_up = up
        metrics.REGISTRY_UP.set(up)
        if not up and not self._reported_down:
            _LOG.warning("registry does not answer; still serving", why=why)
        self._reported_down = not up

    def _is_served(self, pointer: VersionPointer) -> bool:
        served = self._live.served
        if served is None or served.release.pointer != pointer:
            return False
        # The alias is back at the served version, so a version refused in between no longer matters.
        self._live.refused = None
        return True

    def _is_refused(self, pointer: VersionPointer) -> bool:
        refused = self._live.refused
        if refused is None or refused.pointer != pointer or refused.source != "registry":
            return False
        return self._clock() - refused.at < _RETRY_REFUSED_SECONDS

    async def _load(self, pointer: VersionPointer) -> None:
        started = time.perf_counter()
        try:
            files = await self._registry.fetch(pointer)
            release = await asyncio.to_thread(release_check.check, pointer, files)
            self._check_join_key(release)
        except DependencyDown as error:
            self._registry_is(False, str(error))
            return
        except ReleaseRefused as error:
            self._refuse(pointer, error)
            return
        self._live.swap(release, "registry")
        metrics.reloaded(release.pointer)
        _LOG.info(
            "release swapped in", version=pointer.version, seconds=round(time.perf_counter() - started, 3)
        )
        folder = self._settings.cache_dir
        if folder is not None:
            try:
                await asyncio.to_thread(cache.store, folder, pointer, files)
            except OSError as error:
                _LOG.warning("release not cached for a start without MLflow", why=str(error))
        del files
        await asyncio.to_thread(trim)

    async def _poll_trial(self, alias: str) -> None:
        """Follow the alias of a trial; its failures do not affect production."""
        trials, refused = self._live.trials, self._live.refused_trials
        try:
            pointer = await self._registry.resolve(self._name, alias)
            if pointer is None:
                refused.pop(alias, None)
                if trials.pop(alias, None) is not None:
                    _LOG.info("trial ended", alias=alias)
                    _show_trials(trials)
                return
            running, failed = trials.get(alias), refused.get(alias)
            if running is not None and running.release.pointer == pointer:
                refused.pop(alias, None)
                return
            if (
                failed is not None
                and failed.pointer == pointer
                and self._clock() - failed.at < _RETRY_REFUSED_SECONDS
            ):
                return
            release = await asyncio.to_thread(
                release_check.check, pointer, await self._registry.fetch(pointer)
            )
            self._check_join_key(release)
        except DependencyDown as error:
            self._registry_is(False, str(error))
            return
        except ReleaseRefused as error:
            # The former version is no longer on trial either: the alias has left it.
            trials.pop(alias, None)
            refused[alias] = RefusedVersion(pointer, error.what, self._clock())  # type: ignore[arg-type]
            _show_trials(trials)
            _LOG.error("trial refused", alias=alias, why=error.what)
            return
        refused.pop(alias, None)
        trials[alias] = make_served(release, "registry")
        _show_trials(trials)
        _LOG.info("trial begun", alias=alias, version=pointer.version)
        await asyncio.to_thread(trim)

    def _check_join_key(self, release: Release) -> None:
        ours = self._settings.join_key
        if release.contract.join_key != ours:
            raise ReleaseRefused(
                f"Version {release.pointer.version} of {release.pointer.name} cannot be served: its join key is"
                f" '{release.contract.join_key}', but requests use '{ours}'.",
                hint="Set STREAMFLOW_PREDICT__JOIN_KEY to the model's join key.",
            )

    def _refuse(self, pointer: VersionPointer, error: ReleaseRefused, source: Source = "registry") -> None:
        self._live.refused = RefusedVersion(pointer, error.what, self._clock(), source)
        metrics.MODEL_RELOAD.labels("refused", "check_failed").inc()
        _LOG.error("release refused", version=pointer.version, source=source, why=error.what)

    async def _serve_cached(self, folder: Path, cached: VersionPointer) -> None:
        """Serve the cached release, unless the registry says that nothing is in production."""
        if self._live.registry_up and not self._live.alias_set:
            return
        try:
            release = await asyncio.to_thread(cache.load, folder, cached)
            self._check_join_key(release)
        except ReleaseRefused as error:
            if self._live.refused is None:
                self._refuse(cached, error, "cache")
            return
        self._live.swap(release, "cache")
        metrics.reloaded(release.pointer)
        _LOG.warning("serving the cached release", version=cached.version, registry_up=self._live.registry_up)
        await asyncio.to_thread(trim)


def _show_trials(trials: Mapping[str, Served]) -> None:
    metrics.show_trials({alias: served.release.pointer for alias, served in trials.items()})
