"""Feature views, one per source. A view's ttl is the maximum age at which its values may be used."""

from datetime import timedelta

from entities import user
from feast import FeatureView, Field
from feast.types import Bool, Float64, Int64, String
from sources import payments_agg_90d, subscriptions_profile, support_agg_90d, usage_agg_30d

# Drops are monthly; this allows one to be ten days late.
TTL = timedelta(days=41)

subs_profile_fv = FeatureView(
    name="subs_profile_fv",
    entities=[user],
    ttl=TTL,
    schema=[
        Field(name="months_active", dtype=Int64),
        Field(name="monthly_fee", dtype=Float64),
        Field(name="paperless_billing", dtype=Bool),
        Field(name="plan_stream_tv", dtype=Bool),
        Field(name="plan_stream_movies", dtype=Bool),
        Field(name="net_service", dtype=String),
    ],
    source=subscriptions_profile,
)

usage_agg_30d_fv = FeatureView(
    name="usage_agg_30d_fv",
    entities=[user],
    ttl=TTL,
    schema=[
        Field(name="watch_hours_30d", dtype=Float64),
        Field(name="avg_session_mins_7d", dtype=Float64),
        Field(name="unique_devices_30d", dtype=Int64),
        Field(name="skips_7d", dtype=Int64),
        Field(name="rebuffer_events_7d", dtype=Int64),
    ],
    source=usage_agg_30d,
)

payments_agg_90d_fv = FeatureView(
    name="payments_agg_90d_fv",
    entities=[user],
    ttl=TTL,
    schema=[Field(name="failed_payments_90d", dtype=Int64)],
    source=payments_agg_90d,
)

support_agg_90d_fv = FeatureView(
    name="support_agg_90d_fv",
    entities=[user],
    ttl=TTL,
    schema=[
        Field(name="support_tickets_90d", dtype=Int64),
        Field(name="ticket_avg_resolution_hrs_90d", dtype=Float64),
    ],
    source=support_agg_90d,
)
