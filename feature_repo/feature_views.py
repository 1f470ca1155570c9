"""Feature views, one per source. A view's ttl is the maximum age at which its values may be used."""

from datetime import timedelta

from entities import user
from feast import FeatureView, Field
from feast.types import Bool, FeastType, Float64, Int64, String
from sources import payments_agg_90d, subscriptions_profile, support_agg_90d, usage_agg_30d
from tables import TABLES

# Drops are monthly; this allows one to be ten days late.
TTL = timedelta(days=41)
_DESCRIPTIONS = {name: column.description for table in TABLES for name, column in table.columns.items()}


def _feature(name: str, dtype: FeastType, **tags: str) -> Field:
    return Field(name=name, dtype=dtype, description=_DESCRIPTIONS[name], tags=tags)


subs_profile_fv = FeatureView(
    name="subs_profile_fv",
    description="What the customer subscribes to and pays for it.",
    tags={"domain": "subscription", "every": "month"},
    entities=[user],
    ttl=TTL,
    schema=[
        _feature("months_active", Int64, unit="months"),
        _feature("monthly_fee", Float64, unit="currency"),
        _feature("paperless_billing", Bool, kind="flag"),
        _feature("plan_stream_tv", Bool, kind="flag"),
        _feature("plan_stream_movies", Bool, kind="flag"),
        _feature("net_service", String, kind="category"),
    ],
    source=subscriptions_profile,
)

usage_agg_30d_fv = FeatureView(
    name="usage_agg_30d_fv",
    description="How much the customer watched in the last days.",
    tags={"domain": "usage", "every": "month"},
    entities=[user],
    ttl=TTL,
    schema=[
        _feature("watch_hours_30d", Float64, unit="hours", window="30 days"),
        _feature("avg_session_mins_7d", Float64, unit="minutes", window="7 days"),
        _feature("unique_devices_30d", Int64, unit="devices", window="30 days"),
        _feature("skips_7d", Int64, unit="titles", window="7 days"),
        _feature("rebuffer_events_7d", Int64, unit="events", window="7 days"),
    ],
    source=usage_agg_30d,
)

payments_agg_90d_fv = FeatureView(
    name="payments_agg_90d_fv",
    description="How the customer paid in the last 90 days.",
    tags={"domain": "payments", "every": "month"},
    entities=[user],
    ttl=TTL,
    schema=[_feature("failed_payments_90d", Int64, unit="payments", window="90 days")],
    source=payments_agg_90d,
)

support_agg_90d_fv = FeatureView(
    name="support_agg_90d_fv",
    description="How often the customer needed support in the last 90 days.",
    tags={"domain": "support", "every": "month"},
    entities=[user],
    ttl=TTL,
    schema=[
        _feature("support_tickets_90d", Int64, unit="tickets", window="90 days"),
        _feature("ticket_avg_resolution_hrs_90d", Float64, unit="hours", window="90 days"),
    ],
    source=support_agg_90d,
)
