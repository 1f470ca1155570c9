"""The features."""

from datetime import timedelta

from entities import turbine
from feast import FeatureView, Field
from feast.types import Bool, Float64, Int64, String
from sources import sensor_source, turbine_source

design_fv = FeatureView(
    name="design_fv",
    entities=[turbine],
    ttl=timedelta(days=100),
    schema=[
        Field(name="rotor_m", dtype=Float64),
        Field(name="foundation", dtype=String),
        Field(name="moorings", dtype=Int64),
    ],
    source=turbine_source,
)
strain_fv = FeatureView(
    name="strain_fv",
    entities=[turbine],
    ttl=timedelta(days=10),
    schema=[
        Field(name="vibration_mm_s", dtype=Float64),
        Field(name="hot_starts", dtype=Int64),
        Field(name="icing", dtype=Bool),
    ],
    source=sensor_source,
)
