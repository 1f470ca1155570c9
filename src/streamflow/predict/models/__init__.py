"""The releases that answer."""
