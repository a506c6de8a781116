"""VaR policies as the contract takes them."""

from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from ._plan import Plan, PlanRefused, VarPolicy, shapes


def universe_id(plan: Plan) -> bytes:
    """Return keccak256(abi.encode(bytes32[] instruments))."""
    if plan.universe is None:
        raise PlanRefused("a VaR policy needs a universe")
    return bytes(keccak(encode(["bytes32[]"], [plan.universe.words])))


def policy_struct(plan: Plan, policy: VarPolicy, verifier: str) -> tuple[Any, ...]:
    """Return a VaR policy as VarAttestor takes it; its shape is the circuit's."""
    keys, shape = {known.name: known.key for known in plan.verifiers}, shapes()[policy.verifier]
    return (
        universe_id(plan),
        verifier,
        shape.instruments,
        shape.window,
        shape.k,
        *shape.tail,
        shape.quantity_bits,
        shape.limit_bits,
        shape.pnl_bits,
        policy.limit,
        policy.es_limit,
        policy.circuit_hash,
        bytes(keccak(keys[policy.verifier])),
    )
