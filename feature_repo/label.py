"""The label to predict, and the features to predict it from."""

FEATURE_SERVICE = "churn_v1"
"""Feature service whose features the model uses."""

TABLE = "labels"
"""Source table that contains the label."""

COLUMN = "churn_label"
"""Boolean column of that table; the model predicts the probability of True."""

HORIZON = 0
"""Drop that the label comes from: 0 for the same drop as the features, 1 for the next drop (a forecast)."""
