"""Whether the loss of the version in production exceeds that of its holdout, with a bounded error over its life."""
