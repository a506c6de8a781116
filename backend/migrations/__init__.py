"""The database's schema, step by step."""

from backend.migrations.run import downgrade, upgrade

__all__ = ["downgrade", "upgrade"]
