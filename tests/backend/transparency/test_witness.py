"""What a witness may cosign, over trees of every small size."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel import merkle
from backend.kernel.canonical import EncodingError, canonical_json
from backend.kernel.signed_note import CosignerKey, VerifierKey, checkpoint_text, cosign_note, sign_note
from backend.transparency.engine.verifier import verify
from backend.transparency.engine.witness import (
    Fork,
    Prove,
    Seen,
    contradiction,
    evidence,
    judge,
    read_evidence,
    read_note,
)
from tests.backend.cli.logs import KEY, PRIVATE, FakeLog, leaves

HONEST = leaves(("honest", 40))
OTHER = leaves(("honest", 7), ("other", 33))


def seen(tree: Sequence[bytes], size: int) -> Seen:
    return read_note(FakeLog(tree).note(size), KEY)


def proving(tree: Sequence[bytes]) -> Prove:
    return lambda first, second: merkle.consistency_proof(tree[:second], first)


def silent(first: int, second: int) -> None:
    """Give no proof."""


@given(st.integers(0, 40), st.integers(0, 40))
def test_honest_growth_is_never_a_fork(one: int, other: int) -> None:
    assert contradiction(seen(HONEST, one), seen(HONEST, other), proving(HONEST)) is None
    first, second = sorted((one, other))
    assert judge(seen(HONEST, first), seen(HONEST, second), proving(HONEST)) is None


@given(st.integers(8, 40), st.integers(8, 40))
def test_two_histories_always_contradict_each_other(one: int, other: int) -> None:
    for prove in (proving(HONEST), proving(OTHER), silent):
        found = contradiction(seen(HONEST, one), seen(OTHER, other), prove)
        assert found is (Fork.TWO_ROOTS if one == other else Fork.NOT_CONSISTENT)


@given(st.integers(1, 7), st.integers(8, 40))
def test_a_common_past_is_no_contradiction(past: int, size: int) -> None:
    assert contradiction(seen(HONEST, past), seen(OTHER, size), proving(OTHER)) is None


def test_a_first_checkpoint_is_cosigned_and_a_smaller_one_never() -> None:
    assert judge(None, seen(HONEST, 5), silent) is None
    assert judge(seen(HONEST, 5), seen(HONEST, 4), proving(HONEST)) is Fork.SMALLER


def test_a_log_that_gives_no_proof_is_not_followed() -> None:
    assert judge(seen(HONEST, 5), seen(HONEST, 6), silent) is Fork.NOT_CONSISTENT


def test_evidence_opens_with_the_log_key_alone() -> None:
    shown = evidence(KEY, Fork.TWO_ROOTS, seen(HONEST, 9), seen(OTHER, 9), "2026-11-20T10:11:12.123456Z")
    assert read_evidence(shown) == (Fork.TWO_ROOTS, seen(HONEST, 9), seen(OTHER, 9))
    with pytest.raises(EncodingError):
        read_evidence(shown | {"log_public_key": str(VerifierKey(KEY.name, bytes(32)))})
    with pytest.raises(EncodingError, match="not evidence"):
        read_evidence({})


def test_a_note_is_kept_with_the_log_signature_alone() -> None:
    witness = CosignerKey("w", PRIVATE.public_key().public_bytes_raw())
    cosigned = cosign_note(FakeLog(HONEST).note(), witness, PRIVATE.sign, 1)
    assert read_note(cosigned, KEY) == seen(HONEST, 40)


def test_junk_under_the_log_name_is_not_kept() -> None:
    note = FakeLog(HONEST).note()
    junk = f"— {KEY.name} {'A' * 400}\n" * 30
    assert read_note(note + junk, KEY) == seen(HONEST, 40)


def test_a_checkpoint_of_another_origin_is_refused() -> None:
    text = checkpoint_text(seen(HONEST, 5).checkpoint).replace("refi.trading/test", "refi.trading/else")
    with pytest.raises(EncodingError, match="not of refi"):
        read_note(sign_note(text, KEY, PRIVATE.sign), KEY)


def test_the_verifier_of_packs_accepts_a_cosigned_checkpoint() -> None:
    folder = Path(__file__).parents[2] / "vectors" / "evidence" / "good"
    pack = json.loads((folder / "sample.refi.json").read_text())
    witness = CosignerKey("witness.example/w1", PRIVATE.public_key().public_bytes_raw())
    pack["checkpoint"] = cosign_note(pack["checkpoint"], witness, PRIVATE.sign, 1_700_000_000)
    report = verify(canonical_json(pack), contract="0x" + "11" * 20, chain_id=42069)
    assert report.exit_code == 0
    assert {check.name: check.result for check in report.checks}["checkpoint signature"] == "pass"
    pack["checkpoint"] = pack["checkpoint"].replace("\n21\n", "\n22\n")
    assert verify(canonical_json(pack)).exit_code == 1
