"""Predict service: probabilities from online features over HTTP."""
