"""Audit: replay any past answer, reproduce any past run."""
