"""Keys in encrypted files: one a chain role (Web3 Secret Storage), one for the log (PKCS 8)."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json

from backend.kernel.errors import Conflict, Unavailable
from backend.ports.signer import KeyRole

LOG_KEY = "log.pem"
# A password on a local chain may be empty; strong derivation would then only cost every start its seconds.
LIGHT_SCRYPT_N = 2
STRONG_SCRYPT_N = 262_144
# The keys of "test test ... junk" are known to everybody and swept on every public chain.
WELL_KNOWN = frozenset(
    {
        "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
        "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
        "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
        "0x90f79bf6eb2c4f870365e785982e1f101e93b906",
        "0x15d34aaf54267db7d7c367839aaf71a00a2c6a65",
        "0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc",
        "0x976ea74026e726554db657fa54763abd0c3a0aa9",
        "0x14dc79964da2c08b23698b3d3cc7ca32193d9955",
        "0x23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f",
        "0xa0ee7a142d267c1f36714e4a8f75612f20a79720",
        "0xbcd4042de499d14e55001ccbb24a551f3b954096",
        "0x71be63f3384f5fb98995898a86b02fb2426c5788",
        "0xfabb0ac9d68b0b445fb7357272ff202c5651694a",
        "0x1cbd3b2770909d4e10f157cabc84c7264073c9ec",
        "0xdf3e18d64bc6a983f673ab319ccae4f1a57c7097",
        "0xcd3b766ccdd6ae721141f452c550ca635964ce71",
        "0x2546bcd3c84621e976d8185a91a922ae77ecec30",
        "0xbda5747bfd65f08deb54cb465eb87d40e51b197e",
        "0xdd2fd4581271e230360230f9337d5c0430bf44c0",
        "0x8626f6940e2eb28930efb4cef49b2d1f2c9c1199",
    }
)


class KeystoreSigner:
    """Signs with keys from a folder; missing ones are made on a local chain and refused elsewhere."""

    def __init__(self, folder: Path, password: str, *, local_chain: bool) -> None:
        if not password and not local_chain:
            raise Conflict("a keystore outside a local chain needs a password")
        self._folder = folder
        self._local_chain = local_chain
        self._accounts = {role: self._account(role, password) for role in KeyRole}
        self._log = self._log_key(password)

    def __repr__(self) -> str:
        return f"KeystoreSigner({self._folder})"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a signer does not leave its process")

    def address(self, role: KeyRole) -> str:
        """Return the role's address in lower-case 0x-hex."""
        return str(self._accounts[role].address).lower()

    def sign_transaction(self, role: KeyRole, transaction: Mapping[str, Any]) -> bytes:
        """Return the signed raw transaction."""
        return bytes(self._accounts[role].sign_transaction(dict(transaction)).raw_transaction)

    def log_public_key(self) -> bytes:
        """Return the log's Ed25519 public key (32 bytes)."""
        return self._log.public_key().public_bytes_raw()

    def sign_note(self, message: bytes) -> bytes:
        """Return the log's Ed25519 signature (64 bytes) of a checkpoint's text."""
        return self._log.sign(message)

    def _account(self, role: KeyRole, password: str) -> LocalAccount:
        path = self._folder / f"{role}.json"
        if not path.exists():
            self._refuse_to_make(path)
            work_factor = STRONG_SCRYPT_N if password else LIGHT_SCRYPT_N
            made = create_keyfile_json(secrets.token_bytes(32), password, kdf="scrypt", iterations=work_factor)
            _write_secret(path, json.dumps(made).encode())
        try:
            key = bytes(decode_keyfile_json(dict(json.loads(_read_secret(path))), password))
            account: LocalAccount = Account.from_key(key)
        except (ValueError, KeyError, TypeError):
            # Without the cause: a library's text could quote what it was given.
            raise Unavailable(f"the key file {path.name} cannot be opened") from None
        if not self._local_chain and str(account.address).lower() in WELL_KNOWN:
            raise Conflict(f"the key in {path.name} is a well-known development key")
        return account

    def _log_key(self, password: str) -> Ed25519PrivateKey:
        path = self._folder / LOG_KEY
        if not path.exists():
            self._refuse_to_make(path)
            encryption = (
                serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
            )
            _write_secret(
                path,
                Ed25519PrivateKey.generate().private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
                ),
            )
        try:
            key = serialization.load_pem_private_key(_read_secret(path), password.encode() or None)
        except (ValueError, TypeError):
            raise Unavailable(f"the key file {path.name} cannot be opened") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise Unavailable(f"the key file {path.name} holds no Ed25519 key")
        return key

    def _refuse_to_make(self, path: Path) -> None:
        if not self._local_chain:
            raise Conflict(f"the key file {path.name} is missing; outside a local chain no key is made by itself")


def _write_secret(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written beside and linked into place: another process never reads half a key, and the first one wins.
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def _read_secret(path: Path) -> bytes:
    if path.stat().st_mode & 0o077:
        raise Conflict(f"the key file {path.name} can be read by others; set its mode to 0600")
    return path.read_bytes()
