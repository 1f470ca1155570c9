"""StreamFlow: monthly CSV drops in, governed and reproducible churn predictions out.

The way of the data, stage by stage:

    stage        module                          leaves its result in
    drops        drops/{read,check,load}.py      source.*, streamflow.drops, streamflow.quarantine
    snapshots    snapshots/views.py              features.*_snapshots, known_*.*_snapshots
    features     features/store.py               feast.* (registry)
                 features/engine.py              online.* (one wide table a feature view)
                 features/training_set.py        a data frame and its fingerprint
    training     training/{split,fit,evaluate}   an MLflow run and its artifacts
    registry     registry/versions.py            a model version with its contract
                 registry/promote.py             aliases, stages, streamflow.promotions
    predict      predict/app.py                  an answer to POST /predict
    scoring      scoring/score.py                streamflow.scores

`jobs/` strings the stages together; `cli/` and the CronJobs call `jobs/`. What the features, the
tables and the label are is said in `feature_repo/` alone; nothing here knows a column by name.

For notebooks, `streamflow.training_set()`, `.features()`, `.scores()` and `.history()` return DataFrames, and
`streamflow.Client` asks predict.
"""

from importlib import import_module as _import_module

__version__ = "0.1.0"

# Where each name is. Imported when it is first used: predict and the command line start without pandas and Feast.
# `features` is the package of that name, which can be called. Type checkers read `__init__.pyi`.
_PLACES = {
    "Client": ("streamflow.client", "PredictClient"),
    "history": ("streamflow.frames", "history"),
    "scores": ("streamflow.frames", "scores"),
    "training_set": ("streamflow.frames", "training_set"),
}


def __getattr__(name: str) -> object:
    if name == "features":
        return _import_module("streamflow.features")
    if name not in _PLACES:
        raise AttributeError(f"module 'streamflow' has no attribute '{name}'")
    module, attribute = _PLACES[name]
    return getattr(_import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES, "features"})
