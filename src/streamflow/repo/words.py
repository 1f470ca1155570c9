"""What one entity of a repo is called, and several."""

from __future__ import annotations

from dataclasses import dataclass

_KEY_ENDINGS = ("_id", "_key", "_number", "_no", "_code")
_SIBILANTS = ("s", "x", "z", "ch", "sh")


@dataclass(frozen=True)
class Words:
    """The words for an entity in messages.

    Attributes:
        one: One entity, such as "customer" or "wind turbine".
        many: Several; by default made from `one` as English makes most plurals.
    """

    one: str
    many: str = ""

    def __post_init__(self) -> None:
        if not self.many:
            object.__setattr__(self, "many", plural(self.one))

    def count(self, number: int) -> str:
        """A number of entities: "1 customer", "9,379 customers"."""
        return f"{number:,} {self.one if number == 1 else self.many}"


def plural(one: str) -> str:
    """The regular English plural of a word, or of a phrase that ends in one."""
    if one.endswith("y") and one[-2:-1] not in tuple("aeiou"):
        return f"{one[:-1]}ies"
    return f"{one}es" if one.endswith(_SIBILANTS) else f"{one}s"


def of_key(key: str) -> Words:
    """The words of a repo that declares none, from its key: `user_id` names a user, `id` an entity."""
    for ending in _KEY_ENDINGS:
        key = key.removesuffix(ending)
    one = key.strip("_").replace("_", " ").lower()
    return Words("entity" if one in ("", "id", "key") else one)
