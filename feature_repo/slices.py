"""The parts of the users in which every model must hold up, by name: what the gate looks at one by one.

Each names a source table and a column; `bands` divides a number, a bound belongs to the band above it.
"""

SLICES = {
    "contract type": {"table": "subscriptions", "column": "contract_type"},
    "tenure in months": {"table": "subscriptions", "column": "months_active", "bands": [12, 24, 48]},
}
