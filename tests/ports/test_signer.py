"""What every signer promises, run on each of them."""

import json
import logging
import pickle
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from eth_account import Account
from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json

from backend.adapters.signer.keystore import WELL_KNOWN, KeystoreSigner
from backend.kernel.errors import Conflict, Unavailable
from backend.ports.signer import KeyRole, Signer
from tests.fakes import FakeSigner

TRANSACTION = {
    "chainId": 42069,
    "nonce": 0,
    "gas": 21_000,
    "maxFeePerGas": 10**9,
    "maxPriorityFeePerGas": 1,
    "to": "0x" + "11" * 20,
    "value": 0,
}
PASSWORD = "correct horse battery"


def keystore(folder: Path) -> KeystoreSigner:
    """Return a signer on fresh keys."""
    return KeystoreSigner(folder / "keys", "", local_chain=True)


@pytest.fixture(params=[keystore, lambda _folder: FakeSigner()], ids=["keystore", "fake"])
def signer(request: pytest.FixtureRequest, tmp_path: Path) -> Signer:
    """Return each signer in turn."""
    make: Callable[[Path], Signer] = request.param
    return make(tmp_path)


def test_every_role_signs_with_a_key_of_its_own(signer: Signer) -> None:
    addresses = {signer.address(role) for role in KeyRole}
    assert len(addresses) == len(KeyRole)
    for role in KeyRole:
        raw = signer.sign_transaction(role, TRANSACTION)
        assert Account.recover_transaction(raw).lower() == signer.address(role)


def test_a_note_is_signed_by_the_log_key_and_nothing_else_fits(signer: Signer) -> None:
    key = Ed25519PublicKey.from_public_bytes(signer.log_public_key())
    signature = signer.sign_note(b"origin\n1\nroot\n")
    key.verify(signature, b"origin\n1\nroot\n")
    with pytest.raises(InvalidSignature):
        key.verify(signature, b"origin\n2\nroot\n")


def test_a_keystore_keeps_its_keys(tmp_path: Path) -> None:
    first, second = keystore(tmp_path), keystore(tmp_path)
    assert [first.address(role) for role in KeyRole] == [second.address(role) for role in KeyRole]
    assert first.log_public_key() == second.log_public_key()


def test_key_files_are_for_their_owner_only(tmp_path: Path) -> None:
    keystore(tmp_path)
    files = sorted((tmp_path / "keys").iterdir())
    assert len(files) == len(KeyRole) + 1
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    files[0].chmod(0o644)
    with pytest.raises(Conflict, match="0600"):
        keystore(tmp_path)


def test_outside_a_local_chain_no_key_is_made(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="missing"):
        KeystoreSigner(tmp_path, PASSWORD, local_chain=False)
    with pytest.raises(Conflict, match="password"):
        KeystoreSigner(tmp_path, "", local_chain=False)
    assert not list(tmp_path.iterdir())


def write_key(folder: Path, role: KeyRole, key: bytes, password: str) -> None:
    """Put a key file there as an operator would."""
    path = folder / f"{role}.json"
    path.write_text(json.dumps(create_keyfile_json(key, password, kdf="scrypt", iterations=2)))
    path.chmod(0o600)


def test_the_well_known_keys_are_refused_outside_a_local_chain(tmp_path: Path) -> None:
    Account.enable_unaudited_hdwallet_features()
    words = "test test test test test test test test test test test junk"
    known = [Account.from_mnemonic(words, account_path=f"m/44'/60'/0'/0/{index}") for index in range(20)]
    assert {account.address.lower() for account in known} == WELL_KNOWN
    write_key(tmp_path, KeyRole.OPERATOR, bytes(known[0].key), PASSWORD)
    with pytest.raises(Conflict, match="well-known"):
        KeystoreSigner(tmp_path, PASSWORD, local_chain=False)
    write_key(tmp_path, KeyRole.OPERATOR, bytes(known[0].key), "")
    assert KeystoreSigner(tmp_path, "", local_chain=True).address(KeyRole.OPERATOR) in WELL_KNOWN


def test_a_wrong_password_opens_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    write_key(tmp_path, KeyRole.OPERATOR, b"\7" * 32, PASSWORD)
    with pytest.raises(Unavailable, match=r"operator\.json"):
        KeystoreSigner(tmp_path, "another password", local_chain=True)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": 3}', "not json"])
def test_a_damaged_key_file_is_a_fault_without_its_content(tmp_path: Path, content: str) -> None:
    path = tmp_path / "operator.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(Unavailable, match=r"operator\.json"):
        KeystoreSigner(tmp_path, "", local_chain=True)


def test_no_secret_is_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    signer = keystore(tmp_path)
    signer.sign_note(b"text")
    key = bytes(decode_keyfile_json(json.loads((tmp_path / "keys" / "operator.json").read_text()), "")).hex()
    shown = f"{signer!r} {signer} {caplog.text}"
    assert key not in shown
    with pytest.raises(TypeError):
        pickle.dumps(signer)
