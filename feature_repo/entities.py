"""The entity that predictions are made for."""

from feast import Entity, ValueType

user = Entity(
    name="user",
    join_keys=["user_id"],
    value_type=ValueType.STRING,
    tags={"domain": "customers"},
    description="A customer of the streaming service.",
)
