"""The verbs of screening."""
