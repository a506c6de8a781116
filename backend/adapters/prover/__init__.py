"""Provers: processes of their own, spoken to in JSON lines."""
