"""Stage 7: all entities at once.

read.py    snapshots -> chunks of columns, one row an entity
score.py   chunks -> probabilities -> streamflow.scorings and streamflow.scores
"""
