"""Stage 7: all entities at once.

read.py    snapshots -> chunks of columns, one row an entity
judge.py   columns -> which entities may be predicted from, and why not the others (pure)
score.py   chunks -> probabilities -> streamflow.scorings and streamflow.scores
"""
