"""`refi gov`: what the DAO decides, step by step, and `refi agent promote`."""
