"""What commands call the entities of the feature repo."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamflow.repo.words import Words
    from streamflow.settings import Settings


def words(settings: Settings) -> Words:
    """The words of the feature repo; where there is none, as on a machine that only asks, those of the join key."""
    from streamflow.errors import UsageError
    from streamflow.repo import definitions
    from streamflow.repo.words import of_key

    try:
        return definitions.load(settings.feast.repo).words
    except UsageError:
        return of_key(settings.predict.join_key)
