"""Whoever proved, everybody verifies: arkworks, snarkjs, an independent pairing in Python, and the contract."""

import asyncio
import json
from functools import lru_cache

import pytest
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3
from web3.contract import Contract

from backend.adapters.prover.groth16 import Engine, Groth16Process
from backend.kernel.field import SCALAR_FIELD
from backend.ports.prover import Proof
from backend.transparency.engine.verifier import Failed, require_groth16
from tests.circuits.contributed import KEYS, SMALL, contributed
from tests.circuits.example import BINDING, ROOT, honest, matrix, positions, tightest
from tests.fakes import FakeSigner
from tests.ports.conftest import LocalChain
from tests.ports.test_prover import ENGINES

HELD, MARKET = positions(11, SMALL), matrix(11, circuit=SMALL)
CLAIM = honest(BINDING, HELD, MARKET, tightest(HELD, MARKET, SMALL), SMALL)
Z, Y, X = CLAIM.public_inputs
ALTERED = (((Z + 1) % SCALAR_FIELD, Y, X), (Z, (Y + 1) % SCALAR_FIELD, X), (Z, Y, (X + 1) % SCALAR_FIELD))


@lru_cache
def _proof(engine: Engine) -> bytes:
    contributed()
    made = Groth16Process(ROOT, KEYS, engine=engine).prove(SMALL, CLAIM.inputs, CLAIM.public_inputs)
    proof = asyncio.run(made)
    assert isinstance(proof, Proof)
    return proof.encoded


def _key() -> bytes:
    return bytes.fromhex(contributed()["verification_key"].removeprefix("0x"))


def test_two_proofs_of_one_claim_differ() -> None:
    assert _proof("groth16py") != _proof("snarkjs")


@pytest.mark.parametrize(("verifier", "maker"), [("groth16py", "snarkjs"), ("snarkjs", "groth16py")])
def test_each_verifies_the_others_proof_and_nothing_else(verifier: Engine, maker: Engine) -> None:
    proof, judge = _proof(maker), Groth16Process(ROOT, KEYS, engine=verifier)
    assert asyncio.run(judge.verify(SMALL, proof, CLAIM.public_inputs))
    for inputs in ALTERED:
        assert not asyncio.run(judge.verify(SMALL, proof, inputs))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_independent_pairing_verifies_both(engine: Engine) -> None:
    require_groth16(_key(), _proof(engine), CLAIM.public_inputs)
    with pytest.raises(Failed):
        require_groth16(_key(), _proof(engine), ALTERED[1])


@pytest.fixture(scope="module")
def contract(node: str, tmp_path_factory: pytest.TempPathFactory) -> Contract:
    web3 = Web3(HTTPProvider(node, exception_retry_configuration=None))
    chain = LocalChain(node, tmp_path_factory.mktemp("verifier"), FakeSigner("prover"), web3)
    address = Web3.to_checksum_address(chain.deploy("Groth16Verifier", _key()))
    abi = json.loads((chain.deployments / "Groth16Verifier.json").read_text())["abi"]
    return web3.eth.contract(address=address, abi=abi)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_contract_accepts_both_for_this_statement_only(contract: Contract, engine: Engine) -> None:
    proof = _proof(engine)
    words = [int.from_bytes(proof[at : at + 32], "big") for at in range(0, 256, 32)]
    verify = contract.functions.verifyProof
    assert verify(words, list(CLAIM.public_inputs)).call()
    for inputs in (*ALTERED, (Z, Y, X + SCALAR_FIELD)):
        assert not verify(words, list(inputs)).call()


def test_the_contract_holds_the_key_that_the_provers_use(contract: Contract) -> None:
    held = bytes(contract.functions.verifyingKey().call())
    assert held == _key()
    assert "0x" + keccak(held).hex() == contributed()["verification_key_hash"]
