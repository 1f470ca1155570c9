"""Stage 4: fit an estimator on a training set, evaluate it and record the run in MLflow."""
