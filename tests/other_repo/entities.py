"""Who the predictions are about."""

from feast import Entity, ValueType

turbine = Entity(name="turbine", join_keys=["turbine_id"], value_type=ValueType.STRING)
