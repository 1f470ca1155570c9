"""Follow the ledger: a newly promoted version is read, checked and swapped in, or refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from streamflow import compact_model, log, release_check
from streamflow.errors import DependencyDown, ReleaseMissing, ReleaseRefused, StreamFlowError
from streamflow.http.problems import ProblemError
from streamflow.model_version import files as version_files
from streamflow.model_version.aliases import PRODUCTION, TRIAL_ALIASES
from streamflow.predict.features import online_facts
from streamflow.predict.features.connections import Connections
from streamflow.predict.models.first_release import FirstRelease
from streamflow.predict.models.ledger import Ledger
from streamflow.predict.models.live_model import LiveModel, RefusedVersion, Served, make_served
from streamflow.predict.models.memory import trim
from streamflow.predict.observe import metrics
from streamflow.release import Release, VersionPointer
from streamflow.settings import PredictSettings

_LOG = log.get(__name__)
_RETRY_REFUSED_SECONDS = 60.0


class Watch:
    """Polls the ledger and the online store; one task for the life of the service.

    Args:
        settings: Settings of predict.
        ledger: The ledger of the served model.
        live: What is served; changed in place.
        connections: Connections to the online store.
        clock: Returns the current time in seconds since 1970.
        first: A release that is loaded already.
    """

    def __init__(
        self,
        settings: PredictSettings,
        ledger: Ledger,
        live: LiveModel,
        connections: Connections,
        *,
        clock: Callable[[], float] = time.time,
        first: FirstRelease | None = None,
    ) -> None:
        self._settings = settings
        self._live = live
        self._connections = connections
        self._clock = clock
        self._ledger = ledger
        self._reported_down = False
        self._first = first

    async def start(self) -> None:
        """Poll once; the service starts without a model if that fails."""
        try:
            await self.poll()
        except Exception:
            _LOG.exception("first poll failed")

    async def run(self) -> None:
        """Poll until cancelled, at once when the ledger has a new row; a poll that fails is logged."""
        while True:
            await self._settle()
            await self._ledger.moved(self._settings.poll_seconds)
            try:
                await self.poll()
            except Exception:
                _LOG.exception("poll failed")

    async def _settle(self) -> None:
        """Have new releases take less memory, now that they are served."""
        for alias in (PRODUCTION, *TRIAL_ALIASES):
            served = self._served_as(alias)
            if served is None or served.settled:
                continue
            # First, so that there is room for the child.
            await asyncio.to_thread(trim)
            settled = replace(served, release=await self._compacted(served.release), settled=True)
            # Polls wait for this, so nothing else was swapped in meanwhile.
            if alias == PRODUCTION:
                self._live.served = settled
            else:
                self._live.trials[alias] = settled
            del served
            await asyncio.to_thread(trim)

    def _served_as(self, alias: str) -> Served | None:
        return self._live.served if alias == PRODUCTION else self._live.trials.get(alias)

    async def _compacted(self, release: Release) -> Release:
        try:
            files = await self._ledger.files(release.pointer)
            if len(files[version_files.ONNX]) < compact_model.WORTH_BYTES:
                return release
            return await asyncio.to_thread(compact_model.compacted, release, files)
        except (DependencyDown, ReleaseRefused, compact_model.NotCompactError) as error:
            why = error.what if isinstance(error, StreamFlowError) else str(error)
            _LOG.warning("the model was not made smaller", version=release.pointer.version, why=why)
            return release

    def close(self) -> None:
        """Close the connection to the ledger."""
        self._ledger.close()

    async def poll(self) -> None:
        """Ask the ledger and the online store once."""
        await asyncio.gather(self._poll_ledger(), self.poll_online())

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

    async def _poll_ledger(self) -> None:
        try:
            current = await self._ledger.current()
            self._ledger_is(True, "")
            await self._follow_production(current.get(PRODUCTION))
            if self._live.served is not None:
                for alias in TRIAL_ALIASES:
                    await self._follow_trial(alias, current.get(alias))
        except DependencyDown as error:
            self._ledger_is(False, error.what)

    def _ledger_is(self, up: bool, why: str) -> None:
        self._live.ledger_up = up
        if up:
            metrics.LEDGER_READ.set(self._clock())
        elif not self._reported_down:
            _LOG.warning("the ledger cannot be read; still serving", why=why)
        self._reported_down = not up

    async def _follow_production(self, pointer: VersionPointer | None) -> None:
        self._live.in_production = pointer is not None
        if pointer is None:
            if self._live.served is not None:
                _LOG.warning("nothing is in production any more", version=self._live.served.label["version"])
                self._live.unload()
                metrics.unloaded()
            return
        if self._is_served(pointer) or self._is_refused(self._live.refused, pointer):
            return
        started = time.perf_counter()
        try:
            release = await self._load(pointer)
        except ReleaseMissing as error:
            # After an upgrade: the registrar stores them within seconds, so the next poll tries again.
            if self._live.refused is None or self._live.refused.pointer != pointer:
                _LOG.warning("release is not stored yet", version=pointer.version)
            self._live.refused = RefusedVersion(pointer, error.what, self._clock(), missing=True)
            return
        except ReleaseRefused as error:
            self._live.refused = RefusedVersion(pointer, error.what, self._clock())
            metrics.MODEL_RELOAD.labels("refused", "check_failed").inc()
            _LOG.error("release refused", version=pointer.version, why=error.what)
            return
        self._live.swap(release)
        metrics.reloaded(release.pointer)
        seconds = round(time.perf_counter() - started, 3)
        _LOG.info("release swapped in", version=pointer.version, seconds=seconds)

    def _is_served(self, pointer: VersionPointer) -> bool:
        served = self._live.served
        if served is None or served.release.pointer != pointer:
            return False
        # Production is back at the served version, so a version refused in between no longer matters.
        self._live.refused = None
        return True

    def _is_refused(self, refused: RefusedVersion | None, pointer: VersionPointer) -> bool:
        if refused is None or refused.pointer != pointer or refused.missing:
            return False
        return self._clock() - refused.at < _RETRY_REFUSED_SECONDS

    async def _load(self, pointer: VersionPointer) -> Release:
        first, self._first = self._first, None
        release = None if first is None else await asyncio.to_thread(first.take, pointer)
        if release is None:
            release = await asyncio.to_thread(release_check.check, pointer, await self._ledger.files(pointer))
        self._check_join_key(release)
        return release

    async def _follow_trial(self, alias: str, pointer: VersionPointer | None) -> None:
        """Follow a trial; its failures do not affect production."""
        trials, refused = self._live.trials, self._live.refused_trials
        if pointer is None:
            refused.pop(alias, None)
            if trials.pop(alias, None) is not None:
                _LOG.info("trial ended", alias=alias)
                _show_trials(trials)
            return
        running = trials.get(alias)
        if running is not None and running.release.pointer == pointer:
            refused.pop(alias, None)
            return
        if self._is_refused(refused.get(alias), pointer):
            return
        try:
            release = await self._load(pointer)
        except ReleaseRefused as error:
            # The former version is no longer on trial either: the alias has left it.
            trials.pop(alias, None)
            missing = isinstance(error, ReleaseMissing)
            refused[alias] = RefusedVersion(pointer, error.what, self._clock(), missing)
            _show_trials(trials)
            _LOG.error("trial refused", alias=alias, why=error.what)
            return
        refused.pop(alias, None)
        trials[alias] = make_served(release)
        _show_trials(trials)
        _LOG.info("trial begun", alias=alias, version=pointer.version)

    def _check_join_key(self, release: Release) -> None:
        ours = self._settings.join_key
        if release.contract.join_key != ours:
            raise ReleaseRefused(
                f"Version {release.pointer.version} of {release.pointer.name} cannot be served: its join key is"
                f" '{release.contract.join_key}', but requests use '{ours}'.",
                hint="Set STREAMFLOW_PREDICT__JOIN_KEY to the model's join key.",
            )


def _show_trials(trials: Mapping[str, Served]) -> None:
    metrics.show_trials({alias: served.release.pointer for alias, served in trials.items()})
