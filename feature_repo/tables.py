"""The source tables of a drop: their columns and the checks on them.

A drop contains one CSV file per table, named `<table>.csv`. A row that fails a check goes to quarantine. Each
column declares what an empty cell means:

    nullable=False           an error: the row goes to quarantine
    null="missing"           an unknown value: the row is stored, but predictions for the user fail with
                             `missing_features`
    null="not_applicable"    a value of its own: models are trained on it and predict from it
"""

import pandera.pandas as pa

# `\Z`, not `$`, which would also match before a final line break.
KEY = pa.Column("string", pa.Check.str_matches(r"^[A-Za-z0-9_.:@-]{1,64}\Z"), nullable=False)


def _column(dtype: str, *checks: pa.Check, null: str = "", past: bool = False) -> pa.Column:
    # A `past` date may not be later than the as-of date of its drop.
    metadata = {"null": null, "not_after_as_of": past}
    return pa.Column(dtype, list(checks), nullable=bool(null), metadata=metadata)


def _table(
    name: str, snapshots: str, columns: dict[str, pa.Column], *, entities: bool = False
) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(
        {"user_id": KEY, **columns},
        name=name,
        unique=["user_id"],
        strict=True,
        metadata={"snapshots": snapshots, "entities": entities},
    )


COUNT = pa.Check.in_range(0, 1_000_000)
MONEY = pa.Check.in_range(0, 1_000_000)
SERVICES = ["DSL", "Fiber optic", "No"]
CONTRACTS = ["Month-to-month", "One year", "Two year"]

TABLES = [
    _table(
        "users",
        "users_snapshots",
        {
            "signup_date": _column("datetime64[ns]", pa.Check.ge("1990-01-01"), null="missing", past=True),
            "user_gender": _column("string", pa.Check.isin(["Female", "Male", "Other"]), null="missing"),
            "user_is_senior": _column("boolean", null="missing"),
            "has_family": _column("boolean", null="missing"),
            "has_dependents": _column("boolean", null="missing"),
        },
        entities=True,
    ),
    _table(
        "subscriptions",
        "subscriptions_profile_snapshots",
        {
            "months_active": _column("Int64", pa.Check.in_range(0, 1200), null="missing"),
            # Empty without internet service (22 % of the sample's customers), where no plan is possible.
            "plan_stream_tv": _column("boolean", null="not_applicable"),
            "plan_stream_movies": _column("boolean", null="not_applicable"),
            "contract_type": _column("string", pa.Check.isin(CONTRACTS), null="missing"),
            "paperless_billing": _column("boolean", null="missing"),
            "monthly_fee": _column("Float64", MONEY, null="missing"),
            "total_paid": _column("Float64", MONEY, null="missing"),
            "net_service": _column("string", pa.Check.isin(SERVICES), null="missing"),
        },
    ),
    _table(
        "usage_agg_30d",
        "usage_agg_30d_snapshots",
        {
            "watch_hours_30d": _column("Float64", pa.Check.in_range(0, 720), null="missing"),
            "avg_session_mins_7d": _column("Float64", pa.Check.in_range(0, 10_080), null="missing"),
            "unique_devices_30d": _column("Int64", COUNT, null="missing"),
            "skips_7d": _column("Int64", COUNT, null="missing"),
            "rebuffer_events_7d": _column("Int64", COUNT, null="missing"),
        },
    ),
    _table(
        "payments_agg_90d",
        "payments_agg_90d_snapshots",
        {"failed_payments_90d": _column("Int64", COUNT, null="missing")},
    ),
    _table(
        "support_agg_90d",
        "support_agg_90d_snapshots",
        {
            "support_tickets_90d": _column("Int64", COUNT, null="missing"),
            "ticket_avg_resolution_hrs_90d": _column(
                "Float64", pa.Check.in_range(0, 100_000), null="missing"
            ),
        },
    ),
    _table("labels", "labels_snapshots", {"churn_label": pa.Column("boolean", nullable=False)}),
]
