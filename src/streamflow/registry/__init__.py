"""Stage 5: model versions, their aliases, promotion and rollback, and the audit trail of every move."""
