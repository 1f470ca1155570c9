"""Spark: training sets, materializations and scores over the lake, for `engine: spark`; the only place that imports it."""
