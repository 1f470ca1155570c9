"""Slices of the users, by name. The gate judges a challenger on each slice as well as on all users.

A slice names a source table and a column. `bands` splits a numeric column; each bound belongs to the band
above.
"""

SLICES = {
    "contract type": {"table": "subscriptions", "column": "contract_type"},
    "tenure in months": {"table": "subscriptions", "column": "months_active", "bands": [12, 24, 48]},
}
