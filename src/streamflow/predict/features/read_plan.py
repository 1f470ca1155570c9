"""How the features of a contract are read from the online store, and whether a row allows a prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamflow import types
from streamflow.eligibility import NO_ROW, NULL_VALUES, Policy, Rules
from streamflow.http.problems import Problem
from streamflow.model_version.contract import Contract, unreadable_features
from streamflow.postgres.names import ONLINE, quote

Columns = Mapping[str, Mapping[str, str]]
"""SQL type per column, per feature view."""

ONLINE_SCHEMA = "online_schema"
"""Reason of a `schema_mismatch` of the online tables, which concerns every entity."""


@dataclass(frozen=True)
class FeatureRow:
    """Feature values of one entity in the online store.

    Attributes:
        values: Feature values in the contract's order; None where absent.
        stamps: Event timestamp per view in the contract's order, in seconds since 1970; None without a row.
        loaded_at: Newest load time among the rows, in seconds since 1970; None if unknown.
        read_at: Read time by the database's clock, in seconds since 1970; None if unknown.
    """

    values: tuple[Any, ...]
    stamps: tuple[float | None, ...]
    loaded_at: float | None = None
    read_at: float | None = None


class ReadPlan:
    """How the features of a contract are read and judged."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.views = tuple(view.name for view in contract.views)
        self._rules = Rules(contract.features, contract.views)
        self._width = len(contract.features)
        self.statement = self._statement()
        self._judged_columns: Columns | None = None
        self._mismatch: Problem | None = None

    def _statement(self) -> str:
        key = quote(self.contract.join_key)
        columns = [
            f"v{view}.{quote(f.name)}"
            for f, view in zip(self.contract.features, self._rules.view_of, strict=True)
        ]
        columns += [f"extract(epoch FROM v{i}.event_timestamp)::float8" for i in range(len(self.views))]
        loaded = ", ".join(f"v{i}.created_timestamp" for i in range(len(self.views)))
        columns.append(f"extract(epoch FROM greatest({loaded}))::float8")
        # The tables are locked for reading, so no materialization comes between the values and this time.
        columns.append("extract(epoch FROM clock_timestamp())::float8")
        joins = "".join(
            f" LEFT JOIN {quote(ONLINE, view)} v{i} ON v{i}.{key} = k.key"
            for i, view in enumerate(self.views)
        )
        # Columns are read by position: two features may have the same name.
        return f"SELECT {', '.join(columns)} FROM unnest($1::text[]) WITH ORDINALITY AS k(key, n){joins} ORDER BY k.n"

    def row(self, record: Sequence[Any]) -> FeatureRow:
        """Split a record of the statement into values and stamps."""
        cells = tuple(record)
        return FeatureRow(cells[: self._width], cells[self._width : -2], cells[-2], cells[-1])

    def mismatch(self, columns: Columns) -> Problem | None:
        """Return why tables with these columns do not fit the contract; None if they do.

        The last result is cached, because columns stay the same between two polls.
        """
        if columns is not self._judged_columns:
            self._mismatch = self._find_mismatch(columns)
            self._judged_columns = columns
        return self._mismatch

    def _find_mismatch(self, columns: Columns) -> Problem | None:
        wrong = {}
        for feature, found in unreadable_features(self.contract, columns):
            reference = f"{feature.view}:{feature.name}"
            what = "not there" if found is None else f"{found}, not {types.of(feature.type).postgres[0]}"
            wrong[reference] = f"{reference} is {what}"
        return schema_mismatch("; ".join(wrong.values()), list(wrong)) if wrong else None

    def judge(self, key: str, row: FeatureRow, newest: Mapping[str, float], policy: Policy) -> Problem | None:
        """Whether an entity's values may be predicted from; None when they may. Pure.

        Args:
            newest: Newest materialized event timestamp per view.
            policy: What counts as stale.
        """
        reason = self._rules.reason(row.values, row.stamps, newest, policy)
        if reason is None:
            return None
        if reason == NO_ROW:
            return self._absent(key, row, newest)
        if reason == NULL_VALUES:
            return self._nulls(key, row)
        return self._stale(key, row, newest, policy)

    def _absent(self, key: str, row: FeatureRow, newest: Mapping[str, float]) -> Problem:
        never = [view for view in self.views if view not in newest]
        missing = [
            r
            for r, view in zip(self._rules.references, self._rules.view_of, strict=True)
            if row.stamps[view] is None
        ]
        name = self.contract.join_key
        if never:
            detail = (
                f"Feature view(s) {', '.join(never)} were never materialized. Run 'streamflow materialize'."
            )
            return Problem("missing_features", detail, members=_reason("not_materialized", missing))
        if all(stamp is None for stamp in row.stamps):
            detail = (
                f"The online store has no features of {name} '{key}'. Check the id; if it is right, its drop was not"
                " ingested and materialized, or its rows are in quarantine ('streamflow drops quarantine')."
            )
            return Problem("missing_features", detail, status=404, members=_reason("unknown_entity", missing))
        views = [view for view, stamp in zip(self.views, row.stamps, strict=True) if stamp is None]
        detail = (
            f"{name} '{key}' has no row in {', '.join(views)}. Run 'streamflow materialize'; if it stays, its rows"
            " are missing from the drop or in quarantine ('streamflow drops quarantine')."
        )
        return Problem("missing_features", detail, members=_reason("not_materialized", missing))

    def _nulls(self, key: str, row: FeatureRow) -> Problem:
        missing = [self._rules.references[i] for i in self._rules.lacking(row.values)]
        detail = (
            f"{self.contract.join_key} '{key}' has no value of {', '.join(missing)}, which the model requires."
            " Deliver a corrected drop with the value, ingest and materialize it."
        )
        return Problem("missing_features", detail, members=_reason("null_values", missing))

    def _stale(self, key: str, row: FeatureRow, newest: Mapping[str, float], policy: Policy) -> Problem:
        stale = self._rules.stale(row.stamps, newest, policy)
        old = sorted(self.views[i] for i in stale)
        ages = {}
        for i in stale:
            stamp = row.stamps[i] or 0.0
            latest = newest.get(self.views[i], stamp)
            ages[self.views[i]] = {
                "age_seconds": round((latest if policy.now is None else policy.now) - stamp),
                "behind_newest_seconds": round(latest - stamp),
                "max_age_seconds": self._rules.max_ages[i],
            }
        detail = (
            f"The features of {self.contract.join_key} '{key}' in {', '.join(old)} are too old to predict from."
            " Ingest and materialize a newer drop that has this entity."
        )
        features = [
            r
            for r, view in zip(self._rules.references, self._rules.view_of, strict=True)
            if self.views[view] in old
        ]
        members = {**_reason("stale", features), "views": {view: ages[view] for view in old}}
        return Problem("stale_features", detail, members=members)


def schema_mismatch(what: str, features: Sequence[str] = ()) -> Problem:
    """The problem of online tables that are not what the served model needs."""
    detail = (
        f"The online store does not have what the served model needs: {what}."
        " Run 'streamflow features apply' and 'streamflow materialize', or promote a version that fits."
    )
    members = _reason(ONLINE_SCHEMA, features)
    return Problem("schema_mismatch", detail, status=503, members=members, retry_after=5)


def _reason(reason: str, features: Sequence[str]) -> dict[str, Any]:
    return {"reason": reason, "features": list(features)}
