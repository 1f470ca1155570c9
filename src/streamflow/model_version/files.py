"""Names of the files and folders that a run stores in MLflow, relative to its artifacts, each once.

The folder MODEL is what a model version is made of; predict loads the four SERVED files of it.
"""

from __future__ import annotations

MODEL = "model"
"""Folder of the model version's files."""

CONTRACT = "contract.json"
ONNX = "model.onnx"
GOLDEN = "golden.json"
MANIFEST = "manifest.json"
"""SHA-256 of every other file; its own is a tag of the version."""

SERVED = (MANIFEST, CONTRACT, GOLDEN, ONNX)

TRAINING_SET = "training_set"
"""Folder of the rows that the run was trained on."""

ROWS = "training_set.parquet"
SPLIT = "split.parquet"
FINGERPRINT = "fingerprint.json"

FEATURE_SCHEMA = "feature_schema.json"
PACKAGES = "packages.json"
SOURCES = "sources.json"
PLOTS = "plots"
