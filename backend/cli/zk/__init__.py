"""The circuits, keys and proofs of the VaR attestation from the command line."""
