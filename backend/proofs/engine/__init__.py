"""The mathematics of VaR proofs: packing, folding, witnesses, verification."""
