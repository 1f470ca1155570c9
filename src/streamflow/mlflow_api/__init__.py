"""MLflow, reached over REST or by its SDK."""
