"""The platform's own tables, by numbered migrations."""
