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
"""Rows with the probabilities that a release must reproduce."""

MANIFEST = "manifest.json"
"""SHA-256 of every other file in the folder. Its own SHA-256 is a tag of the model version."""

CODE = "code"
"""Folder with the Python files with which MLflow's clients load the ONNX model."""

LINEAGE = "lineage.json"
"""Digests and versions of the code and the environment that made the model version."""

SERVED = (MANIFEST, CONTRACT, GOLDEN, ONNX)
"""Files that the predict service downloads; it never loads the stored estimator."""

MOST_SERVED_BYTES = 256 * 2**20
"""Largest size of the files in `SERVED` together."""

TRAINING_SET = "training_set"
"""Folder with the training set, its split and its fingerprint."""

ROWS = "training_set.parquet"
SPLIT = "split.parquet"
"""Key of each row and the part it belongs to, `train` or `holdout`."""

FINGERPRINT = "fingerprint.json"
"""Fingerprint, row counts and drops of the training set, and the digest of its split."""

FEATURE_SCHEMA = "feature_schema.json"
PACKAGES = "packages.json"
"""Version of every installed distribution."""

SOURCES = "sources.json"
"""SHA-256 of every source file of StreamFlow and of the feature repo."""

PLOTS = "plots"
