"""The feature lists of models."""

from feast import FeatureService
from feature_views import design_fv, strain_fv

failure_v3 = FeatureService(name="failure_v3", features=[design_fv, strain_fv])
