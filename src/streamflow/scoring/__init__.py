"""Stage 7: batch scoring of every entity.

run.py     scores every entity with one release, or computes some scores without storing them
read.py    reads the snapshots as chunks of columns, one row per entity
score.py   turns chunks into probabilities and writes them to streamflow.scorings and streamflow.scores
shards.py  shares a scoring among processes
kept.py    reads the newest scores
"""
