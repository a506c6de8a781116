"""Signed notes and checkpoints: one text a checkpoint, and no text but a signed one opens."""

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
    VerifierKey,
    checkpoint_text,
    open_note,
    parse_checkpoint,
    parse_verifier_key,
    sign_note,
    signature_line,
)

SAMPLE = json.loads((Path(__file__).parents[2] / "vectors" / "evidence" / "good" / "sample.refi.json").read_text())
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = VerifierKey("refi.trading/test", PRIVATE.public_key().public_bytes_raw())
CHECKPOINT = Checkpoint("refi.trading/test", 3, bytes(range(32)))
NOTE = sign_note(checkpoint_text(CHECKPOINT), KEY, PRIVATE.sign)


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def test_the_example_of_the_specification_opens() -> None:
    # C2SP signed-note, "Example".
    key = parse_verifier_key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    signature = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
    note = f"This is an example message.\n\n— example.com/foo {signature}\n"
    assert open_note(note, key, verify) == "This is an example message.\n"
    with pytest.raises(EncodingError):
        open_note(note.replace("example message", "Example message"), key, verify)


def test_the_sample_checkpoint_opens_with_its_key() -> None:
    key = parse_verifier_key(SAMPLE["log_public_key"])
    checkpoint = parse_checkpoint(open_note(SAMPLE["checkpoint"], key, verify))
    assert (checkpoint.origin, checkpoint.size) == ("refi.trading/sample", 21)
    assert str(key) == SAMPLE["log_public_key"]


def test_a_signed_checkpoint_opens() -> None:
    assert parse_checkpoint(open_note(NOTE, KEY, verify)) == CHECKPOINT
    assert NOTE.startswith("refi.trading/test\n3\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n— refi.trading/test ")


def test_a_cosignature_by_another_key_is_ignored() -> None:
    witness = VerifierKey("witness.example", PRIVATE.public_key().public_bytes_raw())
    cosigned = NOTE + signature_line(witness, b"any")
    assert parse_checkpoint(open_note(cosigned, KEY, verify)) == CHECKPOINT
    with pytest.raises(EncodingError, match="does not verify"):
        open_note(cosigned, witness, verify)


def test_a_note_of_another_log_does_not_open() -> None:
    with pytest.raises(EncodingError, match="not signed by this key"):
        open_note(NOTE, VerifierKey("refi.trading/other", KEY.public_key), verify)


@given(st.integers(0, len(NOTE) - 1), st.characters(codec="utf-8"))
def test_no_changed_note_opens(position: int, character: str) -> None:
    changed = NOTE[:position] + character + NOTE[position + 1 :]
    if changed != NOTE:
        with pytest.raises(EncodingError):
            open_note(changed, KEY, verify)


def test_no_shortened_note_opens() -> None:
    for length in range(len(NOTE)):
        with pytest.raises(EncodingError):
            open_note(NOTE[:length], KEY, verify)


@pytest.mark.parametrize(
    "text",
    [
        "o\n03\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "o\n-3\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "o\n3\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=\n",
        "o\n3\nAAEC\n",
        "o\n3\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nmore\n",
        "o p\n3\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "\n3\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "o\n99999999999999999999\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
    ],
)
def test_another_text_is_no_checkpoint(text: str) -> None:
    with pytest.raises(EncodingError):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    "text", ["", "name", "name+00000000+", "name+00000000+AQ==", "na me+1+2", str(KEY)[:-1], f"x{KEY}"]
)
def test_another_text_is_no_verifier_key(text: str) -> None:
    with pytest.raises(EncodingError):
        parse_verifier_key(text)
