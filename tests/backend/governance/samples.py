"""Model files that are small and fit together."""

from hashlib import sha256

from backend.kernel.canonical import canonical_json

SCHEMA = ["rsi", "atr"]


def files(weights: bytes = b"weights", torchscript: bytes = b"scripted") -> dict[str, bytes]:
    """Return a model's five files."""
    description = canonical_json(
        {
            "feature_schema": SCHEMA,
            "feature_schema_sha256": sha256(canonical_json(SCHEMA)).hexdigest(),
            "v": 1,
        }
    )
    return {
        "model.safetensors": weights,
        "model.json": description,
        "model.ts": torchscript,
        "card.json": b"{}",
        "report.json": b'{"out_of_sample":{}}',
    }
