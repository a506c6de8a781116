"""Every query on receipts, rules and volumes."""
