"""What a deployment is made with, and which VaR policy the settings describe."""

import asyncio
import json
from collections.abc import Mapping, Sequence

from backend.bootstrap.adapters import make_market_data, make_prover, make_signer
from backend.kernel.errors import Unavailable
from backend.kernel.fixed import PNL_DECIMALS, to_units
from backend.kernel.keccak import keccak256
from backend.ports.signer import KeyRole
from backend.proofs.types import Limits
from backend.settings import Settings

CIRCUIT = "var_16_90_es"
VERIFIER = "VarVerifier16x90Es"
WINDOW = 90


def var_limits(settings: Settings) -> Limits:
    """Return the limits of the VaR policy, 1e-16 USD."""
    return Limits(*(to_units(limit, PNL_DECIMALS) for limit in (settings.var_limit_usd, settings.es_limit_usd)))


def var_policy_id(settings: Settings) -> bytes:
    """Return the id of the VaR policy that a deployment is made with: it names all that the policy pins.

    A policy is immutable on chain: other limits or another key are another policy, with a chain of its own.
    """
    limits, key_hash = var_limits(settings), _beside_the_key(settings, "meta.json", "verification_key_hash")
    return keccak256(f"{settings.origin}/{CIRCUIT}/{key_hash}/{limits.var}/{limits.es}".encode())


def constraints(settings: Settings) -> int:
    """Return the circuit's number of constraints as the compiler counted them."""
    return int(_beside_the_key(settings, "counts.json", "non_linear_constraints"))


def _beside_the_key(settings: Settings, file: str, name: str) -> str | int:
    path = settings.proving_keys_dir / CIRCUIT / file
    try:
        found: str | int = json.loads(path.read_text())[name]
    except (OSError, ValueError, KeyError) as missing:
        raise Unavailable(f"{path} is missing: run `make build`") from missing
    return found


def deployment_plan(settings: Settings, voters: Sequence[str]) -> Mapping[str, object]:
    """Return what scripts/deploy is asked to do for these settings: roles, log, universe, key and VaR policy."""
    signer, limits = make_signer(settings), var_limits(settings)
    key = asyncio.run(make_prover(settings).key(CIRCUIT))
    roles = {role.value: signer.address(role) for role in KeyRole}
    return {
        "roles": roles | {"guardian": roles["operator"], "relay": roles["anchorer"]},
        "voters": list(voters),
        "log": {"origin": settings.origin, "public_key": signer.log_public_key().hex()},
        "universe": {"instruments": list(make_market_data(settings).universe()), "window": WINDOW},
        "verifiers": {VERIFIER: {"circuit": key.circuit, "key": key.verifying_key.hex(), "insecure": key.insecure}},
        "var_policies": [
            {
                "policy_id": var_policy_id(settings).hex(),
                "verifier": VERIFIER,
                "limit": str(limits.var),
                "es_limit": str(limits.es),
                "circuit_hash": key.circuit_hash.hex(),
            }
        ],
        "max_notional_usd": str(settings.max_order_notional_usd),
        "max_daily_volume_usd": str(settings.max_daily_volume_usd),
        "out": str(settings.deployment_dir),
    }
