"""A submission is checked as a whole, and a proposal says what voters need."""

from hashlib import sha256

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from backend.governance.engine import (
    description_hash,
    model_files,
    promotion,
    proposal_answer,
    proposal_from,
    proposal_id,
    propose_arguments,
    settle_arguments,
    vote_arguments,
)
from backend.governance.types import ModelCids
from backend.kernel.canonical import canonical_json
from backend.kernel.errors import Invalid
from tests.backend.governance.samples import files

GOVERNOR, REGISTRY = "0x" + "ab" * 20, "0x" + "cd" * 20
CIDS = ModelCids("bafw", "bafd", "baft", "bafc", "bafr")
PROPOSAL = promotion(GOVERNOR, REGISTRY, [b"\x01approve", b"\x02promote"], "ee" * 32, CIDS)


def test_a_model_is_hashed_over_weights_and_description() -> None:
    given = files()
    model = model_files(given)
    assert model.sha256 == sha256(given["model.safetensors"] + given["model.json"]).hexdigest()
    assert model.feature_schema_sha256 == sha256(canonical_json(["rsi", "atr"])).hexdigest()


@pytest.mark.parametrize("name", sorted(files()))
def test_a_model_without_one_of_its_files_is_refused(name: str) -> None:
    given = files()
    del given[name]
    with pytest.raises(Invalid, match="exactly these files"):
        model_files(given)
    with pytest.raises(Invalid, match="is empty"):
        model_files({**given, name: b""})


def test_a_file_that_does_not_belong_to_a_model_is_refused() -> None:
    with pytest.raises(Invalid, match="exactly these files"):
        model_files({**files(), "../../etc/passwd": b"x"})


@pytest.mark.parametrize(
    "description",
    [
        b'{"v": 1}',
        b"[]",
        canonical_json({"v": 1}),
        canonical_json({"feature_schema": ["rsi"], "feature_schema_sha256": "00" * 32}),
    ],
)
def test_a_description_that_is_not_canonical_or_does_not_match_its_schema_is_refused(description: bytes) -> None:
    with pytest.raises(Invalid):
        model_files({**files(), "model.json": description})


def test_a_proposal_names_hash_and_every_cid_to_the_voters() -> None:
    assert all(text in PROPOSAL.description for text in ("ee" * 32, *("bafw", "bafd", "baft", "bafc", "bafr")))


def test_the_proposals_id_is_what_the_governor_computes() -> None:
    types = ["address[]", "uint256[]", "bytes[]", "bytes32"]
    hashed = keccak(text=PROPOSAL.description)
    encoded = encode(types, [[REGISTRY, REGISTRY], [0, 0], [b"\x01approve", b"\x02promote"], hashed])
    assert proposal_id(PROPOSAL) == int.from_bytes(keccak(encoded), "big")


def test_a_voter_gets_the_arguments_of_every_call_from_the_answer() -> None:
    proposal = proposal_from(proposal_answer(PROPOSAL))
    assert proposal == PROPOSAL
    call = (list(PROPOSAL.targets), [0, 0], [b"\x01approve", b"\x02promote"])
    assert propose_arguments(proposal) == (*call, PROPOSAL.description)
    assert settle_arguments(proposal) == (*call, description_hash(PROPOSAL))
    assert vote_arguments(proposal, "for") == (proposal_id(PROPOSAL), 1)
    assert vote_arguments(proposal, "against")[1] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"description": "another text"},
        {"values": ["0"]},
        {"targets": ["0x12", "0x13"]},
        {"calldatas": ["0xzz", "0x00"]},
        {"calldatas": [], "values": [], "targets": []},
        {"governor": None},
    ],
)
def test_an_answer_whose_parts_do_not_fit_together_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        proposal_from({**proposal_answer(PROPOSAL), **change})
