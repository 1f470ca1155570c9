"""The source tables of a drop: their columns and the checks on them.

A drop contains one CSV file per table, named `<table>.csv`. A row that fails a check goes to quarantine. Each
column declares what an empty cell means:

    nullable=False           an error: the row goes to quarantine
    null="missing"           an unknown value: the row is stored, but predictions for the user fail with
                             `missing_features`
    null="not_applicable"    a value of its own: models are trained on it and predict from it

Descriptions become those of the features in Feast, and comments on tables, views and columns in PostgreSQL.
"""

import pandera.pandas as pa

# `\Z`, not `$`, which would also match before a final line break.
KEY = pa.Column("string", pa.Check.str_matches(r"^[A-Za-z0-9_.:@-]{1,64}\Z"), nullable=False)


def _column(
    dtype: str, *checks: pa.Check, about: str, null: str = "missing", past: bool = False
) -> pa.Column:
    # A `past` date may not be later than the as-of date of its drop.
    metadata = {"null": null, "not_after_as_of": past}
    return pa.Column(dtype, list(checks), nullable=bool(null), metadata=metadata, description=about)


def _table(
    name: str, snapshots: str, about: str, columns: dict[str, pa.Column], *, entities: bool = False
) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(
        {"user_id": KEY, **columns},
        name=name,
        description=about,
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
        "Who the customers are, one row per customer.",
        {
            "signup_date": _column(
                "datetime64[ns]",
                pa.Check.ge("1990-01-01"),
                past=True,
                about="Day on which the customer signed up.",
            ),
            "user_gender": _column(
                "string", pa.Check.isin(["Female", "Male", "Other"]), about="Gender that the customer gave."
            ),
            "user_is_senior": _column("boolean", about="Whether the customer is a senior."),
            "has_family": _column("boolean", about="Whether the customer has a partner."),
            "has_dependents": _column("boolean", about="Whether the customer has dependents."),
        },
        entities=True,
    ),
    _table(
        "subscriptions",
        "subscriptions_profile_snapshots",
        "What each customer subscribes to and pays for it.",
        {
            "months_active": _column(
                "Int64", pa.Check.in_range(0, 1200), about="Months since the customer signed up."
            ),
            # Empty without internet service (22 % of the sample's customers), where no plan is possible.
            "plan_stream_tv": _column(
                "boolean",
                null="not_applicable",
                about="Whether the plan includes television; without internet, none can.",
            ),
            "plan_stream_movies": _column(
                "boolean",
                null="not_applicable",
                about="Whether the plan includes movies; without internet, none can.",
            ),
            "contract_type": _column("string", pa.Check.isin(CONTRACTS), about="Term of the contract."),
            "paperless_billing": _column("boolean", about="Whether bills come by e-mail alone."),
            "monthly_fee": _column("Float64", MONEY, about="Fee of the month, in the currency of the drop."),
            "total_paid": _column(
                "Float64", MONEY, about="Sum of all fees so far, in the currency of the drop."
            ),
            "net_service": _column(
                "string", pa.Check.isin(SERVICES), about="Internet service of the customer."
            ),
        },
    ),
    _table(
        "usage_agg_30d",
        "usage_agg_30d_snapshots",
        "How much each customer watched in the last days.",
        {
            "watch_hours_30d": _column(
                "Float64", pa.Check.in_range(0, 720), about="Hours watched in the last 30 days."
            ),
            "avg_session_mins_7d": _column(
                "Float64",
                pa.Check.in_range(0, 10_080),
                about="Mean length of a session in the last 7 days, in minutes.",
            ),
            "unique_devices_30d": _column("Int64", COUNT, about="Devices used in the last 30 days."),
            "skips_7d": _column("Int64", COUNT, about="Titles skipped in the last 7 days."),
            "rebuffer_events_7d": _column(
                "Int64", COUNT, about="Times that the picture stopped to load in the last 7 days."
            ),
        },
    ),
    _table(
        "payments_agg_90d",
        "payments_agg_90d_snapshots",
        "How each customer paid in the last 90 days.",
        {"failed_payments_90d": _column("Int64", COUNT, about="Payments that failed in the last 90 days.")},
    ),
    _table(
        "support_agg_90d",
        "support_agg_90d_snapshots",
        "How often each customer needed support in the last 90 days.",
        {
            "support_tickets_90d": _column(
                "Int64", COUNT, about="Support tickets opened in the last 90 days."
            ),
            "ticket_avg_resolution_hrs_90d": _column(
                "Float64",
                pa.Check.in_range(0, 100_000),
                about="Mean hours until a ticket of the last 90 days was resolved.",
            ),
        },
    ),
    _table(
        "labels",
        "labels_snapshots",
        "Who left, one row per customer.",
        {"churn_label": _column("boolean", null="", about="Whether the customer left.")},
    ),
]
