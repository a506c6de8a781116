"""Sign-in messages and tokens: pure checks, no database."""
