"""The source tables of a drop: their columns and the checks on them.

A drop contains one CSV file per table, named `<table>.csv`. A row that fails a check goes to quarantine. Each
column declares what an empty cell means:

    (nothing)                an error: the row goes to quarantine
    null="missing"           an unknown value: the row is stored, but predictions for the user fail with
                             `missing_features`
    null="not_applicable"    a value of its own: models are trained on it and predict from it

Descriptions become those of the features in Feast, and comments on tables, views and columns in PostgreSQL.
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
                "datetime64[ns]",
                pa.Check.ge("1990-01-01"),
                not_after_as_of=True,
                null="missing",
                description="Day on which the customer signed up.",
            ),
            "user_gender": column(
                "string",
                pa.Check.isin(["Female", "Male", "Other"]),
                null="missing",
                description="Gender that the customer gave.",
            ),
            "user_is_senior": column(
                "boolean", null="missing", description="Whether the customer is a senior."
            ),
            "has_family": column(
                "boolean", null="missing", description="Whether the customer has a partner."
            ),
            "has_dependents": column(
                "boolean", null="missing", description="Whether the customer has dependents."
            ),
        },
        description="Who the customers are, one row per customer.",
        entities=Words("customer"),
    ),
    table(
        "subscriptions",
        USER,
        {
            "months_active": column(
                "Int64",
                pa.Check.in_range(0, 1200),
                null="missing",
                description="Months since the customer signed up.",
            ),
            # Empty without internet service (22 % of the sample's customers), where no plan is possible.
            "plan_stream_tv": column(
                "boolean",
                null="not_applicable",
                description="Whether the plan includes television; without internet, none can.",
            ),
            "plan_stream_movies": column(
                "boolean",
                null="not_applicable",
                description="Whether the plan includes movies; without internet, none can.",
            ),
            "contract_type": column(
                "string", pa.Check.isin(CONTRACTS), null="missing", description="Term of the contract."
            ),
            "paperless_billing": column(
                "boolean", null="missing", description="Whether bills come by e-mail alone."
            ),
            "monthly_fee": column(
                "Float64", MONEY, null="missing", description="Fee of the month, in the currency of the drop."
            ),
            "total_paid": column(
                "Float64",
                MONEY,
                null="missing",
                description="Sum of all fees so far, in the currency of the drop.",
            ),
            "net_service": column(
                "string",
                pa.Check.isin(SERVICES),
                null="missing",
                description="Internet service of the customer.",
            ),
        },
        description="What each customer subscribes to and pays for it.",
        snapshots="subscriptions_profile_snapshots",
    ),
    table(
        "usage_agg_30d",
        USER,
        {
            "watch_hours_30d": column(
                "Float64",
                pa.Check.in_range(0, 720),
                null="missing",
                description="Hours watched in the last 30 days.",
            ),
            "avg_session_mins_7d": column(
                "Float64",
                pa.Check.in_range(0, 10_080),
                null="missing",
                description="Mean length of a session in the last 7 days, in minutes.",
            ),
            "unique_devices_30d": column(
                "Int64", COUNT, null="missing", description="Devices used in the last 30 days."
            ),
            "skips_7d": column(
                "Int64", COUNT, null="missing", description="Titles skipped in the last 7 days."
            ),
            "rebuffer_events_7d": column(
                "Int64",
                COUNT,
                null="missing",
                description="Times that the picture stopped to load in the last 7 days.",
            ),
        },
        description="How much each customer watched in the last days.",
    ),
    table(
        "payments_agg_90d",
        USER,
        {
            "failed_payments_90d": column(
                "Int64", COUNT, null="missing", description="Payments that failed in the last 90 days."
            )
        },
        description="How each customer paid in the last 90 days.",
    ),
    table(
        "support_agg_90d",
        USER,
        {
            "support_tickets_90d": column(
                "Int64", COUNT, null="missing", description="Support tickets opened in the last 90 days."
            ),
            "ticket_avg_resolution_hrs_90d": column(
                "Float64",
                pa.Check.in_range(0, 100_000),
                null="missing",
                description="Mean hours until a ticket of the last 90 days was resolved.",
            ),
        },
        description="How often each customer needed support in the last 90 days.",
    ),
    table(
        "labels",
        USER,
        {"churn_label": column("boolean", description="Whether the customer left.")},
        description="Who left, one row per customer.",
    ),
]
