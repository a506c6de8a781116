"""Write a model to files that give the same hash every time, and read it back.

model.safetensors holds the weights, model.json (canonical JSON, no floats) all else that a decision depends on; the
model's hash is SHA-256 over the bytes of both. model.ts is TorchScript for other runtimes: its bytes differ from run
to run, so it is published and referred to, never hashed again.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from agents.features import CLIP, Normaliser
from agents.model import Model
from agents.networks import QNetwork


def plain_decimal(value: float) -> str:
    """Write a number with 8 significant digits in plain notation: no exponent, trailing zeros or negative zero."""
    text = format(Decimal(f"{value:.7e}"), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def canonical_json(value: object) -> bytes:
    """Encode strings, integers, lists and mappings with sorted keys and no white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def feature_schema_sha256(features: tuple[str, ...]) -> str:
    """Return the hash of the feature names in order, in hex."""
    return sha256(canonical_json(list(features))).hexdigest()


def model_sha256(weights: bytes, description: bytes) -> str:
    """Return the model's hash in hex: SHA-256(safetensors bytes || canonical JSON bytes)."""
    return sha256(weights + description).hexdigest()


def describe(model: Model) -> bytes:
    """Return model.json: architecture, feature schema, normaliser and actions."""
    layers = [layer for layer in model.network.layers if isinstance(layer, nn.Linear)]
    sizes = [layers[0].in_features, *(layer.out_features for layer in layers)]
    return canonical_json(
        {
            "actions": list(model.actions),
            "architecture": {"activation": "relu", "layers": sizes},
            "feature_schema": list(model.features),
            "feature_schema_sha256": feature_schema_sha256(model.features),
            "normaliser": {
                "clip": plain_decimal(CLIP),
                "mean": [plain_decimal(value) for value in model.normaliser.mean.tolist()],
                "std": [plain_decimal(value) for value in model.normaliser.std.tolist()],
            },
            "v": 1,
        }
    )


def weights_of(model: Model) -> bytes:
    """Return model.safetensors: float32 tensors layers.0.weight, layers.0.bias ..."""
    return save({name: tensor.detach().contiguous() for name, tensor in model.network.state_dict().items()})


class _ScriptedModel(nn.Module):
    """Map raw float64 features to action values, scaling included."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = model.network
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.from_numpy(model.normaliser.mean))
        self.register_buffer("std", torch.from_numpy(model.normaliser.std))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the action values, (rows, inputs) -> (rows, actions)."""
        scaled = torch.clamp((features - self.mean) / self.std, -5.0, 5.0)
        values: torch.Tensor = self.network(scaled.float())
        return values


def save_model(model: Model, folder: Path) -> str:
    """Write model.safetensors, model.json and model.ts into a folder and return the model's hash."""
    folder.mkdir(parents=True, exist_ok=True)
    weights, description = weights_of(model), describe(model)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "model.json").write_bytes(description)
    torch.jit.save(torch.jit.script(_ScriptedModel(model)), str(folder / "model.ts"))
    return model_sha256(weights, description)


def load_model(weights: bytes, description: bytes) -> Model:
    """Read a model from the bytes of its two files; ValueError when they do not fit together."""
    content = cast("Mapping[str, object]", json.loads(description))
    if canonical_json(content) != description:
        raise ValueError("model.json is not canonical")
    sizes = cast("Mapping[str, list[int]]", content["architecture"])["layers"]
    features = tuple(cast("list[str]", content["feature_schema"]))
    actions = tuple(cast("list[str]", content["actions"]))
    if feature_schema_sha256(features) != content["feature_schema_sha256"]:
        raise ValueError("the feature schema does not match its hash")
    scale = cast("Mapping[str, list[str]]", content["normaliser"])
    normaliser = Normaliser(_numbers(scale["mean"]), _numbers(scale["std"]))
    if not len(features) == sizes[0] == len(normaliser.mean) == len(normaliser.std) or len(actions) != sizes[-1]:
        raise ValueError("the model's parts differ in size")
    network = QNetwork(sizes)
    try:
        network.load_state_dict(load(weights))
    except (RuntimeError, SafetensorError) as error:
        raise ValueError("the weights do not fit the architecture") from error
    return Model(network, normaliser, features, actions)


def _numbers(texts: list[str]) -> NDArray[np.float64]:
    return np.array([float(text) for text in texts])
