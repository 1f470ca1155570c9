"""Feature services: lists of features for models. A model version keeps the list that it was trained with."""

from feast import FeatureService
from feature_views import payments_agg_90d_fv, subs_profile_fv, support_agg_90d_fv, usage_agg_30d_fv

churn_v1 = FeatureService(
    name="churn_v1",
    features=[subs_profile_fv, usage_agg_30d_fv, payments_agg_90d_fv, support_agg_90d_fv],
    tags={"predicts": "churn"},
    description="Subscription, usage, payments and support: the first churn model.",
)
