"""Risk mathematics: pure functions, one subject a module."""
