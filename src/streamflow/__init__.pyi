"""What type checkers and editors see of the names that are imported when they are first used."""

from streamflow.client import PredictClient as Client
from streamflow.frames import features, history, scores, training_set

__all__ = ["Client", "features", "history", "scores", "training_set"]

__version__: str
