"""Backup and restore of databases and artifacts."""
