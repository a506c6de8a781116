"""What the agent sees of a market and an account, in the form in which it is recorded."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeatureVector:
    """Hold the features of one decision as plain decimals of 8 significant digits, in schema order.

    The model is fed exactly float(value) of each, so that a record of the values replays the decision. sha256 is the
    hash of their canonical JSON list, in hex.
    """

    values: tuple[str, ...]
    sha256: str
