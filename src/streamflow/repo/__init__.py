"""The feature repo: what `feature_repo/` declares, loaded and checked."""
