"""The benchmark: `make bench` measures predict against other servers on the same data.

Contenders take turns for several rounds, so that a slow phase of the machine affects all; the median counts.

world.py       starts a stack in a temporary folder, with data and a random forest in production
contenders.py  starts each contender and writes the requests it is measured with
apps/          contenders written for comparison: an empty handler and the obvious implementation
load.py        the load client, run as a separate process with keep-alive connections over loopback
measure.py     measures latencies and CPU time of one contender under load
agreement.py   checks that all contenders return the same probabilities
batch.py       measures materialization, scoring and cold start
ingest.py      measures the ingest of a drop against plain COPY of its files
parts.py       runs ingest.py, train.py and stored.py, and asks Docker for the sizes of the images
rows.py        measures the way of the data over numbers of users, up to ten million
floor.py       measures PostgreSQL alone, with pgbench
report.py      turns figures into ratios, a table and results.json
curve.py       plots requests per second and p99 by clients and users into docs/
"""
