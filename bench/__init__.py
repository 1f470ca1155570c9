"""The benchmark: every contender on the same data, interleaved, repeated, medians; `make bench` runs it.

world.py       a stack of its own in a temporary folder: data, a forest in production, users to ask for
contenders.py  what is measured: each contender's process, address and request
apps/          contenders that are not ours: the empty handler and the obvious implementation
load.py        the client, a process of its own: kept-alive connections on the loopback interface
measure.py     load against one contender: latencies, and the CPU that its processes spent
agreement.py   whether the contenders answer the same
batch.py       materialization, scoring and cold start
report.py      figures -> ratios, a table and results.json
curve.py       requests a second and p99 over clients and users, drawn into docs/
"""
