"""Erasure of a person: rows, training sets of runs, backups, and the list that keeps the person away."""
