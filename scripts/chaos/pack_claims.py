"""Ways to tamper with a pack's VaR claim, for who can recompute all of it but the proof."""

from collections.abc import Sequence
from random import Random
from typing import Any

from backend.kernel.field import SCALAR_FIELD
from backend.transparency.engine.verifier import attestation_id, fold, read_returns
from scripts.chaos.pack_cases import Case

BASE_FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583
BOUND = ("subject", "epoch", "policy_id", "previous", "anchor_index", "position_commitment", "returns_id")
LIMIT, ES_LIMIT, R, Z, E = 4, 5, 6, 7, 8


def a_stated_value_changed(pack: Any, draw: Random, _pool: Sequence[Case]) -> Any | None:
    """Change one of the nine values, exchange two, or write one as another number of the field."""
    if "var" not in pack:
        return None
    values = _values(pack)
    place = draw.randrange(len(values))
    alias = values[place] + SCALAR_FIELD
    forms = [values[place] ^ 1, draw.getrandbits(250), 0, values[place - 1]]
    forms += [alias] if alias < 1 << 256 else []
    if place in {LIMIT, ES_LIMIT}:
        forms += [values[place] + 10**16, 2 * values[place], (1 << 82) - 1]
    values[place] = draw.choice([form for form in forms if form != values[place]])
    return _stating(pack, values)


def a_claim_bound_to_something_else(pack: Any, draw: Random, _pool: Sequence[Case]) -> Any | None:
    """Name another subject, epoch, policy, predecessor, anchor, commitment or returns; recompute the id or do not."""
    if "var" not in pack:
        return None
    part, values = pack["var"], _values(pack)
    name = draw.choice(BOUND)
    if isinstance(part[name], int):
        part[name] = max(0, part[name] + draw.choice([-1, 1, 7])) if part[name] else 1
    elif name == "previous" and draw.random() < 0.5:
        part[name] = "0x" + "00" * 32 if int(part[name], 16) else "0x" + draw.randbytes(32).hex()
    else:
        part[name] = "0x" + draw.randbytes(len(part[name]) // 2 - 1).hex()
    if name == "position_commitment":
        values[1] = int(part[name], 16) % SCALAR_FIELD
    if draw.random() < 0.7:
        place = (part["subject"], part["epoch"], part["policy_id"], part["previous"])
        bound = (pack["anchor"]["chain_id"], part["attestor"], *place, pack["anchor"]["log_id"], part["anchor_index"])
        named = attestation_id(bound, part["position_commitment"], part["returns_id"])
        values[0] = int.from_bytes(named, "big") % SCALAR_FIELD
    return _stating(pack, values)


def another_challenge_with_its_fold(pack: Any, draw: Random, pool: Sequence[Case]) -> Any | None:
    """Choose the challenges, and let the fold follow from the published returns."""
    files = [case.returns for case in pool if case.pack.get("var") == pack.get("var") and case.returns is not None]
    if "var" not in pack or not files:
        return None
    market, values = read_returns(files[0].read_bytes()), _values(pack)
    values[draw.choice([R, Z])] = draw.randrange(SCALAR_FIELD)
    values[E] = fold(market.prices, market.rows, values[R], values[Z])
    return _stating(pack, values)


def another_proof_of_the_claim(pack: Any, draw: Random, _pool: Sequence[Case]) -> Any | None:
    """Take the proof's negation (-A, -B, C), which verifies, or change a coordinate."""
    if "var" not in pack:
        return None
    text = pack["var"]["proof"][2:]
    words = [int(text[at : at + 64], 16) for at in range(0, 512, 64)]
    if draw.random() < 0.5:
        for place in (1, 4, 5):
            words[place] = -words[place] % BASE_FIELD
    else:
        place = draw.randrange(8)
        words[place] = draw.choice([-words[place] % BASE_FIELD, words[place] ^ 1, 0, draw.randrange(BASE_FIELD)])
    pack["var"]["proof"] = "0x" + "".join(f"{word:064x}" for word in words)
    return pack


CLAIM_MUTATIONS = (
    a_stated_value_changed,
    a_claim_bound_to_something_else,
    another_challenge_with_its_fold,
    another_proof_of_the_claim,
)


def _values(pack: Any) -> list[int]:
    return [int(value, 16) for value in pack["var"]["public_inputs"]]


def _stating(pack: Any, values: Sequence[int]) -> Any:
    pack["var"]["public_inputs"] = [f"0x{value:064x}" for value in values]
    return pack
