"""Simulate customers: drops with the tables and columns of real ones, and churn that a model can learn.

From month to month customers age and change their plans and habits. Some of those who churn are missing from
the next drop and are replaced by new customers; the others are won back. The label is drawn from a logistic
function of the columns, so that a random forest on the features of `churn_v1` reaches an AUC of about 0.8.

Without drift the distribution of every column is the same in each month. The first customers are drawn from
the distribution that the monthly changes preserve: how many leave depends on contract and months alone (churn
decides who, not how many), and each change either restores the share that it disturbs or is part of
`_population`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

Array = Any
Tables = dict[str, pd.DataFrame]

CONTRACTS = np.array(["Month-to-month", "One year", "Two year"])
SERVICES = np.array(["DSL", "Fiber optic", "No"])
GENDERS = np.array(["Female", "Male", "Other"])

CHURN_SHARE = 0.262
"""Expected share of churners without drift."""

MISSING_SHARE = 0.001
"""Share of customers whose average resolution time is unknown."""

CHURNERS_AMONG_LEAVING = 0.75
"""Share of churners among the customers who are missing from the next drop; the others leave for reasons that
no table shows."""

NEW_SERVICES = np.array([0.34, 0.48, 0.18])
"""Shares of the services among new customers. All of them begin with a contract from month to month."""

BINDING = np.array([[0.018, 0.026, 0.0], [0.009, 0.020, 0.0], [0.034, 0.038, 0.0]])
"""Share of customers who take the next longer contract in a month, by service and contract."""

GROWTH = 0.004
"""Increase per month of the shares of customers who have a family or a plan."""

FAMILY_SHARE, PLAN_SHARE, EXTRA_SHARE = 0.36, 0.35, 0.25
"""Those shares among new customers; that of an extra is of each of five."""

CANCELLING_SHARE = 0.01
"""Share of the customers with a plan who cancel it in a month."""

DRIFT_NUMBERS = (
    "months_active",
    "monthly_fee",
    "total_paid",
    "watch_hours_30d",
    "avg_session_mins_7d",
    "unique_devices_30d",
    "skips_7d",
    "rebuffer_events_7d",
    "failed_payments_90d",
    "support_tickets_90d",
    "ticket_avg_resolution_hrs_90d",
)
"""Columns whose drift is given in standard deviations per month."""

DRIFT_BOOLS = (
    "user_is_senior",
    "has_family",
    "has_dependents",
    "paperless_billing",
    "plan_stream_tv",
    "plan_stream_movies",
    "churn_label",
)
"""Columns whose drift is added to the share of True each month."""

DRIFT_CATEGORIES = {"user_gender": "Other", "contract_type": "Month-to-month", "net_service": "Fiber optic"}
"""Columns whose drift is added to the share of the named category each month."""

_WHOLE = {
    "months_active",
    "unique_devices_30d",
    "skips_7d",
    "rebuffer_events_7d",
    "failed_payments_90d",
    "support_tickets_90d",
}
_HIGHEST = {"months_active": 1200, "watch_hours_30d": 720, "avg_session_mins_7d": 10_080}
_IDS = 10_000 * 26**5
_LONGEST = 144
_PAPERLESS = np.array([0.55, 0.77, 0.29])


@dataclass
class _Customers:
    """State of the customers, one array element each; a month's tables are derived from it."""

    number: Array
    gender: Array
    senior: Array
    family: Array
    dependents: Array
    months: Array
    contract: Array
    service: Array
    tv: Array
    movies: Array
    extras: Array
    paperless: Array
    price: Array
    paid: Array
    watching: Array
    sessions: Array
    devices: Array
    resolution: Array

    def replace(self, at: Array, others: "_Customers") -> None:
        """Replace the customers at the indexes `at` with `others`."""
        for field in fields(self):
            getattr(self, field.name)[at] = getattr(others, field.name)


def simulate(
    users: int,
    months: int,
    seed: int,
    first_as_of: date,
    drift: Mapping[str, float],
    *,
    missing: float = MISSING_SHARE,
    drift_from: Mapping[str, int] | None = None,
    concept_drift: float = 0.0,
    concept_from: int = 1,
) -> Iterator[tuple[date, Tables]]:
    """Yield the drops of consecutive month ends, oldest first.

    The same arguments give the same tables, and fewer months give the first drops of a longer simulation.

    Args:
        users: Customers in each drop.
        months: Number of drops.
        seed: Seed of all random numbers.
        first_as_of: As-of date of the first drop; the others follow month by month.
        drift: How far the distribution of each column shifts per month; `DRIFT_NUMBERS`, `DRIFT_BOOLS` and
            `DRIFT_CATEGORIES` give the units. The first month never drifts. Churn follows the shifted values
            by the same mechanism as before.
        missing: Share of customers without `ticket_avg_resolution_hrs_90d`; unless it is 0, at least one
            customer in drops of 500 or more.
        drift_from: First month in which a column drifts, counted from the first drop; 1 unless given.
        concept_drift: How far the mechanism that makes customers churn moves towards another one, between 0
            and 1. It leaves all other columns, the share of churners and the customers who leave as they are.
        concept_from: First month with the concept drift, counted from the first drop.

    Raises:
        ValueError: `drift` names a column that cannot drift, or a number is out of range.
    """
    _check(drift, drift_from or {}, concept_drift, concept_from)
    offset = int(np.random.default_rng([seed, 0, 0]).integers(_IDS))
    customers = _sign_up(np.random.default_rng([seed, 1, 0]), users, first_number=0, new=False)
    signed_up, mechanisms = users, None
    for month in range(months):
        rng = np.random.default_rng([seed, 2, month])
        since = {name: max(month - (drift_from or {}).get(name, 1) + 1, 0) for name in drift}
        month_drift = {name: amount * since[name] for name, amount in drift.items()}
        as_of = _month_end(first_as_of, month)
        seen = _observe(rng, customers, month_drift)
        if mechanisms is None:
            mechanisms = _Mechanism(seen, 0.0), _Mechanism(seen, concept_drift)
        probability = mechanisms[month >= concept_from].probability(seen)
        leaving = _leaving_share(customers.contract, customers.months)
        leaves = rng.random(users) < leaving
        churn = rng.random(users) < _given_leaving(probability, leaving, leaves)
        seen["churn_label"] = _shift_bool(rng, churn, month_drift.get("churn_label", 0.0))
        yield as_of, _tables(rng, seen, _user_ids(customers.number, offset), as_of, missing)
        gone = np.flatnonzero(leaves)
        _age(rng, customers)
        customers.replace(gone, _sign_up(rng, len(gone), first_number=signed_up, new=True))
        signed_up += len(gone)


def _check(
    drift: Mapping[str, float], drift_from: Mapping[str, int], concept_drift: float, concept_from: int
) -> None:
    known = {*DRIFT_NUMBERS, *DRIFT_BOOLS, *DRIFT_CATEGORIES}
    if unknown := sorted(set(drift) - known):
        raise ValueError(f"no drift for {', '.join(unknown)}; there is one for {', '.join(sorted(known))}")
    if early := sorted(name for name, month in drift_from.items() if month < 1):
        raise ValueError(f"the drift of {', '.join(early)} begins before month 1; the first drop is month 0")
    if not 0 <= concept_drift <= 1:
        raise ValueError(f"a concept drift of {concept_drift:g} is not between 0 and 1")
    if concept_from < 1:
        raise ValueError("the concept drift begins before month 1; the first drop is month 0")


def _leaving_share(contract: Array, months: Array) -> Array:
    """Probability that a customer is missing from the next drop."""
    unbound = 0.02 + 0.2 * np.exp(-months / 4)
    return np.where(contract == 0, unbound, 0.002) + 0.007 * np.clip(months - 66, 0, None)


def _given_leaving(probability: Array, leaving: Array, leaves: Array) -> Array:
    """Probability of churning of customers of whom it is known whether they leave.

    Averaged over leaving, it is `probability`, so that the label follows the columns alone.
    """
    churners = np.clip(probability / leaving, None, CHURNERS_AMONG_LEAVING)
    churners = np.maximum(churners, 1 - (1 - probability) / leaving)
    return np.where(leaves, churners, (probability - churners * leaving) / (1 - leaving))


@lru_cache(maxsize=1)
def _population() -> Array:
    """Shares of the customers by months since they signed up, service and contract, which no month changes.

    As many sign up as leave. So the share of those who signed up m + 1 months ago is the share of those who
    signed up m months ago, without those who leave, and with the contracts of a month later.
    """
    share = NEW_SERVICES[:, None] * np.array([1.0, 0.0, 0.0])
    shares = []
    for month in range(_LONGEST):
        shares.append(share)
        stay = share * (1 - _leaving_share(np.arange(3), np.full(3, month)))
        bound = stay * BINDING
        share = stay - bound + np.roll(bound, 1, axis=1)
    return np.array(shares) / np.sum(shares)


def _sign_up(rng: np.random.Generator, count: int, *, first_number: int, new: bool) -> _Customers:
    """Draw customers: with a history of any length, or new ones without a history."""
    shares = _population()[: 1 if new else None]
    kind = rng.choice(shares.size, count, p=shares.ravel() / shares.sum())
    months, service, contract = np.unravel_index(kind, shares.shape)
    family = rng.random(count) < FAMILY_SHARE + GROWTH * months
    return _Customers(
        number=np.arange(first_number, first_number + count),
        gender=rng.choice(3, count, p=[0.495, 0.495, 0.01]),
        senior=rng.random(count) < np.where(service == 1, 0.25, 0.09),
        family=family,
        dependents=rng.random(count) < np.where(family, 0.5, 0.1),
        months=months.astype(np.int64),
        contract=contract,
        service=service,
        tv=rng.random(count) < PLAN_SHARE + GROWTH * months,
        movies=rng.random(count) < PLAN_SHARE + GROWTH * months,
        extras=rng.binomial(5, EXTRA_SHARE + GROWTH * months),
        paperless=rng.random(count) < _PAPERLESS[service],
        price=_prices(rng, count),
        # Negative until the first month's fee is known: `_observe` computes what was paid before it.
        paid=np.zeros(count) if new else -np.ones(count),
        watching=rng.normal(size=count),
        sessions=rng.normal(size=count),
        devices=rng.integers(1, 4, count),
        resolution=np.clip(rng.normal(10, 4, count), 1, None),
    )


def _prices(rng: np.random.Generator, count: int) -> Array:
    """Differences between customers' prices and the list price."""
    return np.round(rng.normal(0, 1.2, count) / 0.05) * 0.05


def _age(rng: np.random.Generator, customers: _Customers) -> None:
    """Advance the customers by a month: all get older, some change their plan, and habits shift."""
    count = len(customers.number)
    for plan in (customers.tv, customers.movies):
        # So many start that, with those who cancel, the share is that of customers a month older.
        share = PLAN_SHARE + GROWTH * customers.months
        starting = (GROWTH + CANCELLING_SHARE * share) / (1 - share)
        plan[:] = rng.random(count) < np.where(plan, 1 - CANCELLING_SHARE, starting)
    adding = GROWTH / (1 - EXTRA_SHARE - GROWTH * customers.months)
    customers.extras += rng.binomial(5 - customers.extras, adding)
    married = ~customers.family & (
        rng.random(count) < GROWTH / (1 - FAMILY_SHARE - GROWTH * customers.months)
    )
    customers.family |= married
    customers.dependents |= married & (rng.random(count) < (0.5 - 0.1) / (1 - 0.1))
    paperless = _PAPERLESS[customers.service]
    switched = rng.random(count) < 0.02
    customers.paperless[switched] = (rng.random(count) < paperless)[switched]
    customers.contract += rng.random(count) < BINDING[customers.service, customers.contract]
    customers.months += 1
    repriced = rng.random(count) < 0.04
    customers.price[repriced] = _prices(rng, int(repriced.sum()))
    # An autoregressive step whose noise keeps the variance of the habits at one.
    for habit in (customers.watching, customers.sessions):
        habit[:] = 0.95 * habit + rng.normal(0, np.sqrt(1 - 0.95**2), count)
    moved = rng.random(count) < 0.05
    customers.devices[moved] = rng.integers(1, 4, int(moved.sum()))
    asked = rng.random(count) < 0.1
    customers.resolution[asked] = np.clip(rng.normal(10, 4, int(asked.sum())), 1, None)


def _observe(rng: np.random.Generator, customers: _Customers, drift: Mapping[str, float]) -> dict[str, Array]:
    """Derive a month's columns from the customers, shifted by the drift."""
    count = len(customers.number)

    def number(name: str, values: Array) -> Array:
        return _shift_number(rng, name, values, drift.get(name, 0.0))

    def flag(name: str, values: Array) -> Array:
        return _shift_bool(rng, values, drift.get(name, 0.0))

    def category(name: str, names: Array, codes: Array) -> Array:
        at = int(np.flatnonzero(names == DRIFT_CATEGORIES[name])[0])
        return names[_shift_category(rng, codes, at, len(names), drift.get(name, 0.0))]

    seen = {
        "user_gender": category("user_gender", GENDERS, customers.gender),
        "user_is_senior": flag("user_is_senior", customers.senior),
        "has_family": flag("has_family", customers.family),
        "has_dependents": flag("has_dependents", customers.dependents),
        "months_active": number("months_active", customers.months),
        "contract_type": category("contract_type", CONTRACTS, customers.contract),
        "net_service": category("net_service", SERVICES, customers.service),
        "plan_stream_tv": flag("plan_stream_tv", customers.tv),
        "plan_stream_movies": flag("plan_stream_movies", customers.movies),
        "paperless_billing": flag("paperless_billing", customers.paperless),
    }
    online = seen["net_service"] != "No"
    plans = seen["plan_stream_tv"] * 10.0 + seen["plan_stream_movies"] * 10.0
    base = np.select([seen["net_service"] == "DSL", online], [44.0, 69.5], 20.0)
    extras = customers.extras * 5.0
    fee = base + customers.price + np.where(online, plans + extras, 0.0)
    seen["monthly_fee"] = number("monthly_fee", np.round(np.clip(fee, 18.25, None), 2))
    first = customers.paid < 0
    # Customers had fewer plans and extras on average since they signed up than they have now.
    grown = GROWTH * customers.months
    plans = plans * (PLAN_SHARE + grown / 2) / (PLAN_SHARE + grown)
    extras = extras * (EXTRA_SHARE + grown / 2) / (EXTRA_SHARE + grown)
    earlier = base + customers.price + np.where(online, plans + extras, 0.0)
    customers.paid[first] = (earlier * np.maximum(customers.months - 1, 0))[first]
    customers.paid += np.where(customers.months > 0, seen["monthly_fee"], 0.0)
    seen["total_paid"] = number("total_paid", np.round(customers.paid, 2))
    hours = 18.5 + 0.16 * seen["monthly_fee"] + 0.02 * seen["months_active"] + 4.8 * customers.watching
    seen["watch_hours_30d"] = number("watch_hours_30d", np.clip(hours + rng.normal(0, 0.5, count), 0.5, None))
    seen["avg_session_mins_7d"] = number("avg_session_mins_7d", np.clip(29 + 6 * customers.sessions, 1, None))
    seen["unique_devices_30d"] = number("unique_devices_30d", customers.devices)
    seen["skips_7d"] = number("skips_7d", rng.poisson(5.0, count))
    seen["rebuffer_events_7d"] = number("rebuffer_events_7d", rng.poisson(2.3, count))
    seen["failed_payments_90d"] = number("failed_payments_90d", rng.poisson(0.17, count))
    seen["support_tickets_90d"] = number("support_tickets_90d", rng.poisson(0.31, count))
    seen["ticket_avg_resolution_hrs_90d"] = np.round(
        number("ticket_avg_resolution_hrs_90d", customers.resolution), 1
    )
    return seen


class _Mechanism:
    """What makes customers churn: this is what a model can learn."""

    def __init__(self, first_seen: Mapping[str, Array], drifted: float) -> None:
        """Set the constant so that the expected share of churners in `first_seen` is `CHURN_SHARE`."""
        self._drifted = drifted
        self._intercept = _intercept(self._odds(first_seen), CHURN_SHARE)

    def probability(self, seen: Mapping[str, Array]) -> Array:
        """Probability of churning of each customer."""
        return 1 / (1 + np.exp(-(self._odds(seen) + self._intercept)))

    def _odds(self, seen: Mapping[str, Array]) -> Array:
        usual = _odds(seen)
        return (1 - self._drifted) * usual + self._drifted * _other_odds(seen) if self._drifted else usual


def _other_odds(seen: Mapping[str, Array]) -> Array:
    """Log-odds of churning, up to a constant, of the mechanism towards which a concept drift moves.

    Its columns and their effects differ from those of `_odds`; about as much can be learnt from them.
    """
    return (
        0.035 * (seen["monthly_fee"] - 65)
        - 0.12 * (seen["avg_session_mins_7d"] - 29)
        + 0.2 * (seen["skips_7d"] - 5)
        - 0.5 * (seen["unique_devices_30d"] - 2)
    )


def _odds(seen: Mapping[str, Array]) -> Array:
    """Log-odds of churning, up to a constant, without concept drift."""
    online = seen["net_service"] != "No"
    contract = np.select([seen["contract_type"] == name for name in CONTRACTS], [0.5, -0.25, -0.75])
    return (
        contract
        - 0.8 * np.log1p(seen["months_active"])
        + 0.9 * (seen["net_service"] == "Fiber optic")
        - 0.8 * ~online
        + 0.35 * seen["paperless_billing"]
        + 0.2 * (online & seen["plan_stream_tv"])
        + 0.2 * (online & seen["plan_stream_movies"])
        + 0.25 * seen["user_is_senior"]
        - 0.04 * (seen["watch_hours_30d"] - 29)
        + 0.08 * (seen["rebuffer_events_7d"] - 2.3)
        + 0.35 * seen["failed_payments_90d"]
        + 0.25 * seen["support_tickets_90d"]
        + 0.03 * (seen["ticket_avg_resolution_hrs_90d"] - 10)
    )


def _intercept(odds: Array, share: float) -> float:
    """Constant that, added to the log-odds, makes the mean probability equal `share`; found by bisection."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if np.mean(1 / (1 + np.exp(-(odds + middle)))) > share else (middle, high)
    return (low + high) / 2


def _shift_number(rng: np.random.Generator, name: str, values: Array, deviations: float) -> Array:
    draws = rng.random(
        len(values)
    )  # Drawn even without drift, so that the drift of one column does not change the others.
    if not deviations:
        return values
    moved = values + deviations * values.std()
    if name in _WHOLE:
        # Rounds up with a probability equal to the fraction, which preserves the mean shift.
        moved = np.floor(moved + draws).astype(np.int64)
    return np.clip(moved, 0, _HIGHEST.get(name, 1_000_000))


def _shift_bool(rng: np.random.Generator, values: Array, share: float) -> Array:
    draws = rng.random(len(values))
    if not share or not len(values):
        return values
    # Flips so large a part of the False (or True) values that the share of True changes by `share`.
    true = float(values.mean())
    if share > 0:
        return values | (draws < share / max(1 - true, 1e-9))
    return values & (draws >= -share / max(true, 1e-9))


def _shift_category(rng: np.random.Generator, codes: Array, at: int, count: int, share: float) -> Array:
    moved = _shift_bool(rng, codes == at, share)
    others = (at + 1 + rng.integers(0, count - 1, len(codes))) % count
    return np.where(moved, at, np.where(codes == at, others, codes))


def _tables(
    rng: np.random.Generator, seen: Mapping[str, Array], user_id: Array, as_of: date, missing: float
) -> Tables:
    online = seen["net_service"] != "No"
    count = len(user_id)
    # 30.4375 is the average number of days in a month.
    days = (seen["months_active"] * 30.4375).astype("timedelta64[D]")
    unknown = rng.random(count) < missing
    if count >= 500 and missing > 0 and not unknown.any():
        unknown[rng.integers(count)] = True
    columns = {
        **seen,
        "user_id": user_id,
        "signup_date": (np.datetime64(as_of, "D") - days).astype("datetime64[ns]"),
        "plan_stream_tv": pd.arrays.BooleanArray(seen["plan_stream_tv"].copy(), ~online),
        "plan_stream_movies": pd.arrays.BooleanArray(seen["plan_stream_movies"].copy(), ~online),
        "monthly_fee": np.round(seen["monthly_fee"], 2),
        "total_paid": np.round(seen["total_paid"], 2),
        "ticket_avg_resolution_hrs_90d": np.where(unknown, np.nan, seen["ticket_avg_resolution_hrs_90d"]),
    }
    return {
        name: pd.DataFrame({column: columns[column] for column in ("user_id", *names)})
        for name, names in COLUMNS.items()
    }


COLUMNS = {
    "users": ("signup_date", "user_gender", "user_is_senior", "has_family", "has_dependents"),
    "subscriptions": (
        "months_active",
        "plan_stream_tv",
        "plan_stream_movies",
        "contract_type",
        "paperless_billing",
        "monthly_fee",
        "total_paid",
        "net_service",
    ),
    "usage_agg_30d": (
        "watch_hours_30d",
        "avg_session_mins_7d",
        "unique_devices_30d",
        "skips_7d",
        "rebuffer_events_7d",
    ),
    "payments_agg_90d": ("failed_payments_90d",),
    "support_agg_90d": ("support_tickets_90d", "ticket_avg_resolution_hrs_90d"),
    "labels": ("churn_label",),
}
"""The tables of a drop and their columns after `user_id`."""


def _user_ids(numbers: Array, offset: int) -> Array:
    """Ids such as 7590-VHVEG, a different one for each number."""
    # Ids are distinct for numbers below 251 million, whose product fits into 64 bits: the factor and _IDS
    # share only the divisor 13, so without an overflow ids would repeat only after _IDS / 13 numbers.
    rest = (numbers.astype(np.uint64) * np.uint64(73_420_369_373) + np.uint64(offset)) % np.uint64(_IDS)
    text = np.full((len(numbers), 10), ord("-"), np.uint8)
    for place in (9, 8, 7, 6, 5):
        text[:, place] = ord("A") + rest % np.uint64(26)
        rest //= np.uint64(26)
    for place in (3, 2, 1, 0):
        text[:, place] = ord("0") + rest % np.uint64(10)
        rest //= np.uint64(10)
    return text.view("S10").ravel().astype(str).astype(object)


def _month_end(first: date, months: int) -> date:
    """The date `months` later; the last day of a month gives the last day of a month."""
    start = pd.Timestamp(first)
    moved = start + pd.DateOffset(months=months)
    return (moved + pd.offsets.MonthEnd(0) if start.is_month_end else moved).date()
