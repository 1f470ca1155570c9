"""Drift: how far the features and scores of a month are from those that the version in production was trained on."""
