"""Faults injected for real, in the jobs that must survive them."""
