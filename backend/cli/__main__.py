"""`python -m backend.cli` is `refi`."""

from backend.cli import main

main()
