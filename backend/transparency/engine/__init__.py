"""What a stranger needs to check the platform without trusting it."""
