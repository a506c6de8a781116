# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a key's origin, and whether that is enough to trust it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from circuits.prover.refusals import KeyRefused
from circuits.prover.zkey import Contribution, Zkey

DEVELOPMENT = "development"
CEREMONY = "ceremony"
PUBLIC_POWERS = Path(__file__).resolve().parent.parent / "ceremony" / "powers_of_tau.json"
ALPHA_BETA_BYTES = 64 + 128
CONTRIBUTORS = 2
BEACON_ITERATIONS_EXP = 10
ONE_PARTY = "one party made it alone, and could keep what forges proofs"

Meta = dict[str, Any]


def public_powers() -> dict[str, dict[str, str]]:
    """Return the published powers of tau by their size (a power of two): file, url, blake2b."""
    powers: dict[str, dict[str, str]] = json.loads(PUBLIC_POWERS.read_text())["files"]
    return powers


def published(powers_hash: str, packed: bytes) -> str | None:
    """Return the name of the published powers of tau with this hash, if the key has the alpha and beta of them all."""
    start = str(json.loads(PUBLIC_POWERS.read_text())["alpha1_beta2"])
    names = {entry["blake2b"]: entry["file"] for entry in public_powers().values()}
    return names.get(powers_hash) if start == "0x" + packed[:ALPHA_BETA_BYTES].hex() else None


def development() -> Meta:
    """Return what a single-party key's record says of its origin."""
    return {"origin": DEVELOPMENT, "insecure": True, "insecure_because": [ONE_PARTY]}


def ceremony(found: Zkey, powers_hash: str, contributors: dict[str, str], beacon: str | None) -> Meta:
    """Return what an imported key's record says of its origin; raise KeyRefused where it is no ceremony at all.

    powers_hash: BLAKE2b-512 of the powers of tau, hex; contributors: name to the contribution hash that each of them
    published; beacon: the public value that the importer expects, hex.
    """
    _require_ceremony(found.contributions)
    facts: Meta = {
        "powers_of_tau": {"blake2b": powers_hash, "public": published(powers_hash, found.packed)},
        "r1cs_hash": found.r1cs_hash,
        "contributions": [asdict(contribution) for contribution in found.contributions],
        "contributors": {name: _hex(digest) for name, digest in contributors.items()},
        "beacon": None if beacon is None else _hex(beacon),
    }
    missing = _missing(facts)
    return {"origin": CEREMONY, "ceremony": facts, "insecure": bool(missing), "insecure_because": missing}


def require_consistent(meta: Meta) -> None:
    """Raise KeyRefused where a record claims more for its key than its origin gives."""
    if meta["origin"] == DEVELOPMENT:
        expected = [ONE_PARTY]
    elif meta["origin"] == CEREMONY:
        facts = meta["ceremony"]
        powers, packed = facts["powers_of_tau"], bytes.fromhex(meta["verification_key"].removeprefix("0x"))
        if powers["public"] != published(powers["blake2b"], packed):
            raise KeyRefused("the key's record names powers of tau that it does not grow from")
        expected = _missing(facts)
    else:
        raise KeyRefused(f"the key's record names no origin that is known: {meta['origin']}")
    if (meta["insecure"], meta.get("insecure_because")) != (bool(expected), expected):
        raise KeyRefused("the key's record claims another security than its origin gives")


def require_of(meta: Meta, packed: bytes, found: Zkey) -> None:
    """Raise KeyRefused unless an imported key is the zkey's beside it, with the contributions on record."""
    facts = meta["ceremony"]
    contributions = [asdict(contribution) for contribution in found.contributions]
    if (found.packed, found.r1cs_hash, contributions) != (packed, facts["r1cs_hash"], facts["contributions"]):
        raise KeyRefused("the zkey is not the one that the key's record describes")
    _require_ceremony(found.contributions)


def _require_ceremony(contributions: tuple[Contribution, ...]) -> None:
    """Refuse a key without at least one contribution, closed by a beacon and nothing else."""
    if not any(contribution.beacon is None for contribution in contributions):
        raise KeyRefused("nobody contributed to the zkey: its second phase never happened")
    beacons = [place for place, contribution in enumerate(contributions) if contribution.beacon is not None]
    if beacons != [len(contributions) - 1]:
        raise KeyRefused("the zkey's last contribution, and only the last, must be a beacon")
    if (contributions[-1].iterations_exp or 0) < BEACON_ITERATIONS_EXP:
        raise KeyRefused(f"the zkey's beacon is hashed fewer than 2^{BEACON_ITERATIONS_EXP} times")


def _missing(facts: Meta) -> list[str]:
    """Return what is missing for a key to be trusted; raise KeyRefused where the named facts are not the zkey's."""
    people = [entry["hash"] for entry in facts["contributions"] if entry["beacon"] is None]
    named = list(facts["contributors"].values())
    if len(set(named)) != len(named) or not set(named) <= set(people):
        raise KeyRefused("a contributor's hash is named twice or is not among the zkey's contributions")
    if facts["beacon"] not in (None, facts["contributions"][-1]["beacon"]):
        raise KeyRefused("the zkey's beacon is not the one named")
    return [
        reason
        for reason, holds in (
            ("its powers of tau are not among the published ones", facts["powers_of_tau"]["public"] is not None),
            (f"fewer than {CONTRIBUTORS} contributors were named with their hashes", len(named) >= CONTRIBUTORS),
            ("nobody named the beacon that was announced", facts["beacon"] is not None),
        )
        if not holds
    ]


def _hex(shown: str) -> str:
    """Return a hash as it is recorded; snarkjs shows it in groups."""
    return "".join(shown.lower().split()).removeprefix("0x")
