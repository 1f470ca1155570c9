"""Slices of the users. The gate judges a challenger on each slice as well as on all users.

A slice names a source table and a column. `bands` splits a numeric column; each bound belongs to the band
above.
"""

from streamflow.repo.declare import Slice

SLICES = [
    Slice("contract type", "subscriptions", "contract_type"),
    Slice("tenure in months", "subscriptions", "months_active", bands=(12, 24, 48)),
]
