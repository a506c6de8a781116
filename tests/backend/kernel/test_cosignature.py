"""Timestamped cosignatures of checkpoints: interoperable, bound to their time, and no log's signature."""

import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel.canonical import EncodingError
from backend.kernel.signed_note import (
    Checkpoint,
    CosignerKey,
    VerifierKey,
    checkpoint_text,
    cosign_note,
    open_note,
    parse_checkpoint,
    parse_cosigner_key,
    parse_verifier_key,
    sign_note,
    split_note,
    verify_cosignature,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "cosignature.json").read_text())
PUBLISHED = VECTORS["checkpoint"]
LOG_PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LOG = VerifierKey("refi.trading/test", LOG_PRIVATE.public_key().public_bytes_raw())
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
WITNESS = CosignerKey("witness.example/w1", PRIVATE.public_key().public_bytes_raw())
NOTE = sign_note(checkpoint_text(Checkpoint(LOG.name, 3, bytes(range(32)))), LOG, LOG_PRIVATE.sign)
TIME = 1_700_000_000
COSIGNED = cosign_note(NOTE, WITNESS, PRIVATE.sign, TIME)


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def test_a_published_checkpoint_opens_with_its_log_and_its_witness() -> None:
    witness = parse_cosigner_key(PUBLISHED["cosigner"])
    assert str(witness) == PUBLISHED["cosigner"]
    assert verify_cosignature(PUBLISHED["note"], witness, verify) == PUBLISHED["time"]
    log = parse_verifier_key(PUBLISHED["log"])
    assert parse_checkpoint(open_note(PUBLISHED["note"], log, verify)).size == PUBLISHED["size"]


def test_a_published_checkpoint_of_another_size_does_not_open() -> None:
    changed = PUBLISHED["note"].replace("\n1432088532\n", "\n1432088533\n")
    with pytest.raises(EncodingError, match="does not verify"):
        verify_cosignature(changed, parse_cosigner_key(PUBLISHED["cosigner"]), verify)


def test_the_example_of_the_specification_has_its_frame() -> None:
    _, lines = split_note(VECTORS["example"]["note"])
    name, content = lines[1]
    assert (name, len(content)) == (VECTORS["example"]["name"], 4 + 8 + 64)
    assert int.from_bytes(content[4:12], "big") == VECTORS["example"]["time"]


def test_a_cosigned_note_still_opens_with_the_log() -> None:
    assert verify_cosignature(COSIGNED, WITNESS, verify) == TIME
    assert open_note(COSIGNED, LOG, verify) == open_note(NOTE, LOG, verify)


def test_the_latest_of_several_cosignatures_counts() -> None:
    assert verify_cosignature(cosign_note(COSIGNED, WITNESS, PRIVATE.sign, TIME - 5), WITNESS, verify) == TIME


def test_a_note_without_the_cosignature_is_refused() -> None:
    with pytest.raises(EncodingError, match="not cosigned"):
        verify_cosignature(NOTE, WITNESS, verify)
    with pytest.raises(EncodingError, match="not cosigned"):
        verify_cosignature(COSIGNED, CosignerKey("witness.example/w2", WITNESS.public_key), verify)


def test_only_a_checkpoint_is_cosigned() -> None:
    with pytest.raises(EncodingError, match="not a checkpoint"):
        cosign_note(sign_note("any text\n", LOG, LOG_PRIVATE.sign), WITNESS, PRIVATE.sign, TIME)


def test_the_keys_of_logs_and_witnesses_are_two_kinds() -> None:
    same = VerifierKey(WITNESS.name, WITNESS.public_key)
    assert same.key_hash != WITNESS.key_hash
    assert parse_cosigner_key(str(WITNESS)) == WITNESS
    with pytest.raises(EncodingError, match="not the verifier key of a cosigner"):
        parse_cosigner_key(str(same))
    with pytest.raises(EncodingError, match="not an Ed25519 verifier key"):
        parse_verifier_key(str(WITNESS))


def opened_by_both(note: str) -> None:
    open_note(note, LOG, verify)
    verify_cosignature(note, WITNESS, verify)


@given(st.integers(0, len(COSIGNED) - 1), st.characters(codec="utf-8"))
def test_no_changed_cosigned_note_passes_for_both(position: int, character: str) -> None:
    changed = COSIGNED[:position] + character + COSIGNED[position + 1 :]
    if changed != COSIGNED:
        with pytest.raises(EncodingError):
            opened_by_both(changed)
