"""Spark: training sets, materializations and scores over the lake, with `engine: spark`. Only it imports Spark."""
