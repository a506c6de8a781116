"""A model's files give the same hash every time and the same decisions after loading."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.env import ACTIONS
from agents.export import canonical_json, describe, load_model, model_sha256, plain_decimal, save_model, weights_of
from agents.features import FEATURE_SCHEMA, Normaliser, round_significant
from agents.model import Model
from agents.networks import QNetwork
from backend.kernel.canonical import canonical_json as kernel_canonical_json
from backend.kernel.canonical import parse_canonical, parse_decimal


def small_model(seed: int = 0) -> Model:
    random = np.random.default_rng(seed)
    scale = Normaliser(round_significant(random.normal(size=27)), round_significant(random.uniform(0.5, 2, 27)))
    return Model(QNetwork((27, 16, 16, 9), seed), scale, FEATURE_SCHEMA, ACTIONS)


def test_the_hash_covers_the_bytes_of_both_files(tmp_path: Path) -> None:
    digest = save_model(small_model(), tmp_path)
    weights, description = ((tmp_path / f"model.{end}").read_bytes() for end in ("safetensors", "json"))
    assert digest == sha256(weights + description).hexdigest() == model_sha256(weights, description)


def test_equal_models_have_equal_bytes_and_other_weights_another_hash(tmp_path: Path) -> None:
    first, again, other = (save_model(small_model(seed), tmp_path / str(n)) for n, seed in enumerate((0, 0, 1)))
    assert first == again != other


def test_the_description_is_canonical_json_without_floats() -> None:
    description = describe(small_model())
    content = parse_canonical(description)
    assert isinstance(content, dict)
    assert kernel_canonical_json(content) == canonical_json(content) == description
    assert content["architecture"] == {"activation": "relu", "layers": [27, 16, 16, 9]}
    assert content["feature_schema_sha256"] == sha256(kernel_canonical_json(list(FEATURE_SCHEMA))).hexdigest()
    assert content["actions"] == list(ACTIONS)
    assert all(parse_decimal(value) for value in json.loads(description)["normaliser"]["mean"])


def test_tensors_are_named_by_layer_in_float32() -> None:
    model = small_model()
    assert list(model.network.state_dict()) == [f"layers.{n}.{kind}" for n in range(3) for kind in ("weight", "bias")]
    assert {tensor.dtype for tensor in model.network.state_dict().values()} == {torch.float32}


def test_a_loaded_model_decides_exactly_as_the_one_that_was_saved() -> None:
    model = small_model()
    loaded = load_model(weights_of(model), describe(model))
    for seed in range(20):
        features = np.random.default_rng(seed).normal(size=27) * 3
        assert np.array_equal(model.q_values(features), loaded.q_values(features))


def test_a_plain_multi_layer_perceptron_gives_the_same_values() -> None:
    model = small_model()
    features = np.random.default_rng(3).normal(size=27) * 3
    values = np.clip((features - model.normaliser.mean) / model.normaliser.std, -5, 5)
    tensors = {name: tensor.double().numpy() for name, tensor in model.network.state_dict().items()}
    for layer in range(3):
        values = tensors[f"layers.{layer}.weight"] @ values + tensors[f"layers.{layer}.bias"]
        values = np.maximum(values, 0) if layer < 2 else values
    assert model.q_values(features) == pytest.approx(values, abs=1e-5)


def test_torchscript_gives_the_same_values(tmp_path: Path) -> None:
    model = small_model()
    save_model(model, tmp_path)
    scripted = torch.jit.load(str(tmp_path / "model.ts"))  # type: ignore[no-untyped-call]
    features = np.random.default_rng(3).normal(size=27) * 3
    assert scripted(torch.from_numpy(features)[None])[0].tolist() == pytest.approx(model.q_values(features), abs=1e-6)


@pytest.mark.parametrize("change", ["spaces", "schema", "normaliser", "weights", "actions"])
def test_files_that_do_not_fit_together_are_refused(change: str) -> None:
    model = small_model()
    weights, content = weights_of(model), json.loads(describe(model))
    if change == "schema":
        content["feature_schema"][0] = "other"
    if change == "normaliser":
        content["normaliser"]["mean"].pop()
    if change == "actions":
        content["actions"].pop()
    if change == "weights":
        content["architecture"]["layers"] = [27, 8, 16, 9]
    description = json.dumps(content).encode() if change == "spaces" else canonical_json(content)
    with pytest.raises(ValueError, match=r"model|schema|weights"):
        load_model(weights, description)


@given(st.floats(-1e12, 1e12).filter(lambda value: value == 0 or abs(value) > 1e-12))
def test_decimals_are_plain_and_keep_eight_significant_digits(value: float) -> None:
    text = plain_decimal(value)
    parse_decimal(text)
    assert float(text) == float(f"{value:.7e}")
