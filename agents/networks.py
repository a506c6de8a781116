"""The action-value network: a plain multi-layer perceptron."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn


class QNetwork(nn.Module):
    """Map (rows, inputs) float32 to (rows, actions) action values, with relu between the layers.

    Its tensors are named layers.0.weight, layers.0.bias, layers.1.weight ...
    """

    def __init__(self, sizes: Sequence[int], seed: int = 0) -> None:
        """Draw weights uniformly within 1/sqrt(fan-in); no global random state counts."""
        super().__init__()
        random = np.random.default_rng(seed)
        self.layers = nn.ModuleList()
        for before, after in pairwise(sizes):
            # Made without storage, so that the layer draws no weights from the global generator.
            layer = nn.Linear(before, after, device="meta").to_empty(device="cpu")
            bound = before**-0.5
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(random.uniform(-bound, bound, (after, before))))
                layer.bias.copy_(torch.from_numpy(random.uniform(-bound, bound, after)))
            self.layers.append(layer)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the action values of every row."""
        last = len(self.layers) - 1
        values = inputs
        for index, layer in enumerate(self.layers):
            values = layer(values)
            if index < last:
                values = torch.relu(values)
        return values
