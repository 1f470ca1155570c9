"""What is predicted, and from which features."""

FEATURE_SERVICE = "churn_v1"
"""Feature service whose features the model sees."""

TABLE = "labels"
"""Source table that holds the label."""

COLUMN = "churn_label"
"""Its boolean column; True is the event whose probability is predicted."""

HORIZON = 0
"""Which drop's label is meant: 0 the one that came with the drop, 1 the next drop's (a forecast)."""
