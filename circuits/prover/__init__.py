# SPDX-License-Identifier: GPL-3.0-or-later
"""The Groth16 prover: a process of its own, because what it imports is GPL-3.0."""
