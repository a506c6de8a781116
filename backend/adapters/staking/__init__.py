"""Stakes of REFI."""
