# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a key is not used."""


class KeyRefused(Exception):
    """A key that anyone could forge proofs for, or that is not of this circuit."""
