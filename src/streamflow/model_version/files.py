"""Names of the files and folders among a run's artifacts in MLflow.

Other modules use these constants and never spell a name themselves. The folder `MODEL` contains the files of a
model version; the predict service loads only those in `SERVED`.
"""

from __future__ import annotations

MODEL = "model"
"""Folder with the files of the model version."""

CONTRACT = "contract.json"
ONNX = "model.onnx"
GOLDEN = "golden.json"
MANIFEST = "manifest.json"
"""SHA-256 of every other file in the folder. Its own SHA-256 is a tag of the model version."""

SERVED = (MANIFEST, CONTRACT, GOLDEN, ONNX)

TRAINING_SET = "training_set"
"""Folder with the training set, its split and its fingerprint."""

ROWS = "training_set.parquet"
SPLIT = "split.parquet"
FINGERPRINT = "fingerprint.json"

FEATURE_SCHEMA = "feature_schema.json"
PACKAGES = "packages.json"
SOURCES = "sources.json"
PLOTS = "plots"
