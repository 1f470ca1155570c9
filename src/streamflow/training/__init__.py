"""Stage 4: a training set becomes a fitted, judged estimator."""
