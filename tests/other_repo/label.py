"""What is predicted: whether a turbine fails in the month after."""

FEATURE_SERVICE = "failure_v3"
TABLE = "failures"
COLUMN = "failed"
HORIZON = 1
