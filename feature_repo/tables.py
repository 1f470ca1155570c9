"""The source tables of a drop: their columns and the checks on them.

A drop contains one CSV file per table, named `<table>.csv`. A row that fails a check goes to quarantine. Each
column declares what an empty cell means:

    (nothing)                an error: the row goes to quarantine
    null="missing"           an unknown value: the row is stored, but predictions for the user fail with
                             `missing_features`
    null="not_applicable"    a value of its own: models are trained on it and predict from it
"""

import pandera.pandas as pa

from streamflow.repo.declare import Words, column, key, table

# `\Z`, not `$`, which would also match before a final line break.
USER = key("user_id", pa.Check.str_matches(r"^[A-Za-z0-9_.:@-]{1,64}\Z"))

COUNT = pa.Check.in_range(0, 1_000_000)
MONEY = pa.Check.in_range(0, 1_000_000)
SERVICES = ["DSL", "Fiber optic", "No"]
CONTRACTS = ["Month-to-month", "One year", "Two year"]

TABLES = [
    table(
        "users",
        USER,
        {
            "signup_date": column(
                "datetime64[ns]", pa.Check.ge("1990-01-01"), null="missing", not_after_as_of=True
            ),
            "user_gender": column("string", pa.Check.isin(["Female", "Male", "Other"]), null="missing"),
            "user_is_senior": column("boolean", null="missing"),
            "has_family": column("boolean", null="missing"),
            "has_dependents": column("boolean", null="missing"),
        },
        entities=Words("customer"),
    ),
    table(
        "subscriptions",
        USER,
        {
            "months_active": column("Int64", pa.Check.in_range(0, 1200), null="missing"),
            # Empty without internet service (22 % of the sample's customers), where no plan is possible.
            "plan_stream_tv": column("boolean", null="not_applicable"),
            "plan_stream_movies": column("boolean", null="not_applicable"),
            "contract_type": column("string", pa.Check.isin(CONTRACTS), null="missing"),
            "paperless_billing": column("boolean", null="missing"),
            "monthly_fee": column("Float64", MONEY, null="missing"),
            "total_paid": column("Float64", MONEY, null="missing"),
            "net_service": column("string", pa.Check.isin(SERVICES), null="missing"),
        },
        snapshots="subscriptions_profile_snapshots",
    ),
    table(
        "usage_agg_30d",
        USER,
        {
            "watch_hours_30d": column("Float64", pa.Check.in_range(0, 720), null="missing"),
            "avg_session_mins_7d": column("Float64", pa.Check.in_range(0, 10_080), null="missing"),
            "unique_devices_30d": column("Int64", COUNT, null="missing"),
            "skips_7d": column("Int64", COUNT, null="missing"),
            "rebuffer_events_7d": column("Int64", COUNT, null="missing"),
        },
    ),
    table(
        "payments_agg_90d",
        USER,
        {"failed_payments_90d": column("Int64", COUNT, null="missing")},
    ),
    table(
        "support_agg_90d",
        USER,
        {
            "support_tickets_90d": column("Int64", COUNT, null="missing"),
            "ticket_avg_resolution_hrs_90d": column("Float64", pa.Check.in_range(0, 100_000), null="missing"),
        },
    ),
    table("labels", USER, {"churn_label": column("boolean")}),
]
