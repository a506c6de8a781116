"""A trained model: network, normaliser, and the names of its inputs and actions."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from agents.features import Normaliser
from agents.networks import QNetwork

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Model:
    """Map raw features, in the order of `features`, to one value for each of `actions`."""

    network: QNetwork
    normaliser: Normaliser
    features: tuple[str, ...]
    actions: tuple[str, ...]

    def q_values(self, features: Floats) -> Floats:
        """Return the action values of one row of raw features, (inputs,) -> (actions,).

        Always float32 at batch 1: other batch sizes round differently, by up to 4e-8, and a decision is to be replayed.
        """
        inputs = torch.as_tensor(self.normaliser(features)[None, :], dtype=torch.float32)
        with torch.no_grad():
            values: Floats = self.network(inputs)[0].double().numpy()
        return values

    def best(self, observations: Floats) -> NDArray[np.int64]:
        """Return the best action of every row, (rows, inputs) -> (rows,); the first one wins a tie."""
        return np.array([int(self.q_values(row).argmax()) for row in observations], dtype=np.int64)
