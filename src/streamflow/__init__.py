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
"""

__version__ = "0.1.0"
