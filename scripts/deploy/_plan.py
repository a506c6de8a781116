"""What a deployment is asked to do, and what it refuses."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Self

LOCAL_CHAIN_IDS = frozenset({31337, 42069})
ROLES = ("operator", "anchorer", "publisher", "countersigner", "issuer", "attester", "guardian", "relay")
# Who holds an office that a plan does not give to anyone: the issuer opens accounts' caps and lists sanctioned wallets,
# the operator records reviews and moves limits by small steps.
OFFICES = {"registrar": "issuer", "lister": "issuer", "reviewer": "operator", "steward": "operator"}

# The accounts that development nodes start with (mnemonic "test test ... junk", the first 20): their keys are public.
ANVIL_ACCOUNTS = frozenset(
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

# EIP-197: the generator of G2, imaginary part first.
G2_GENERATOR = bytes.fromhex(
    "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2"
    "1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
    "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b"
    "12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"
)
ALPHA, BETA, GAMMA, DELTA, IC = slice(0, 64), slice(64, 192), slice(192, 320), slice(320, 448), 448
G2_X = 64
VAR_INPUTS = 3  # z, y, x
CIRCUITS = Path(__file__).resolve().parents[2] / "circuits" / "circuits.json"
SMALL_CIRCUITS = frozenset({"var_4_8_es"})  # for conformance tests: eight days at 75 % limit nothing
VERIFIER_NAME = re.compile(r"VarVerifier\w*", re.ASCII)


class PlanRefused(Exception):
    """The plan cannot be carried out, or must not be."""


@dataclass(frozen=True, slots=True)
class Log:
    """An audit log: origin line and Ed25519 public key (32 bytes)."""

    origin: str
    public_key: bytes


@dataclass(frozen=True, slots=True)
class Universe:
    """Ordered tickers, and how many daily returns a matrix of them holds."""

    instruments: tuple[str, ...]
    window: int

    @property
    def words(self) -> list[bytes]:
        """The tickers as the contracts know them: ASCII, zeros on the right."""
        return [ticker.encode("ascii").ljust(32, b"\0") for ticker in self.instruments]


@dataclass(frozen=True, slots=True)
class Verifier:
    """A verifying key (EIP-197 order), the circuit that its record names, and the verifier's own name."""

    name: str
    circuit: str
    key: bytes
    insecure: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """What a circuit fixes and its key does not show; tail: W(1-c) = numerator/denominator, k its ceiling."""

    instruments: int
    window: int
    k: int
    tail: Sequence[int]
    quantity_bits: int
    limit_bits: int
    pnl_bits: int
    expected_shortfall: bool

    @property
    def verifier(self) -> str:
        """The name that the circuit's verifier is deployed under."""
        return f"VarVerifier{self.instruments}x{self.window}{'Es' if self.expected_shortfall else ''}"


def circuits() -> dict[str, Shape]:
    """Return the shape of every circuit by the circuit's name."""
    parameters = [field.name for field in fields(Shape)]
    sets = json.loads(CIRCUITS.read_text("utf-8"))
    return {circuit: Shape(**{name: entry[name] for name in parameters}) for circuit, entry in sets.items()}


def shapes() -> dict[str, Shape]:
    """Return the shape of every circuit by its verifier's name."""
    return {shape.verifier: shape for shape in circuits().values()}


@dataclass(frozen=True, slots=True)
class VarPolicy:
    """A VaR policy; limits in 1e-16 USD, es_limit zero where no expected shortfall is attested."""

    policy_id: bytes
    limit: int
    es_limit: int
    circuit_hash: bytes
    verifier: str


@dataclass(frozen=True, slots=True)
class VarRequirement:
    """The VaR policy that every order's account must have attested lately."""

    policy_id: bytes
    max_age_seconds: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One deployment."""

    roles: Mapping[str, str]
    voters: tuple[str, ...]
    log: Log | None
    universe: Universe | None
    verifiers: tuple[Verifier, ...]
    var_policies: tuple[VarPolicy, ...]
    out: Path
    max_notional_usd: Decimal
    max_daily_volume_usd: Decimal
    var_requirement: VarRequirement | None
    deployer: str

    @classmethod
    def read(cls) -> Self:
        """Read the plan that REFI_DEPLOY_PLAN names."""
        # Ape's environment does not hold the backend's settings; this is the one place where a script reads its own.
        name = os.environ.get("REFI_DEPLOY_PLAN", "")  # noqa: TID251
        if not name:
            raise PlanRefused("REFI_DEPLOY_PLAN names no plan: set it to the path of a JSON file")
        try:
            return cls.from_json(Path(name).read_text("utf-8"))
        except OSError as error:
            raise PlanRefused(f"the plan {name} cannot be read: {error.strerror}") from error

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a plan from its JSON text."""
        try:
            return cls._of(json.loads(text))
        except KeyError as error:
            raise PlanRefused(f"the plan lacks {error.args[0]!r}") from error
        except (ValueError, TypeError, AttributeError, InvalidOperation) as error:
            raise PlanRefused(f"the plan is malformed: {error}") from error

    @classmethod
    def _of(cls, plan: Mapping[str, Any]) -> Self:
        log, universe, required = plan.get("log"), plan.get("universe"), plan.get("var_requirement")
        return cls(
            roles=_roles(plan["roles"]),
            voters=tuple(_address(voter) for voter in plan.get("voters", ())),
            log=Log(log["origin"], _bytes(log["public_key"], 32)) if log else None,
            universe=Universe(tuple(universe["instruments"]), int(universe["window"])) if universe else None,
            verifiers=tuple(_verifier(name, given) for name, given in plan.get("verifiers", {}).items()),
            var_policies=tuple(_var_policy(given) for given in plan.get("var_policies", ())),
            out=Path(plan["out"]),
            max_notional_usd=Decimal(plan.get("max_notional_usd", "50000")),
            max_daily_volume_usd=Decimal(plan.get("max_daily_volume_usd", "1000000")),
            var_requirement=_var_requirement(required) if required else None,
            deployer=plan.get("deployer", ""),
        )

    def refuse_unsafe(self, chain_id: int, deployer: str) -> None:
        """Raise PlanRefused where a key is public or a verifying key proves anything."""
        for verifier in self.verifiers:
            refuse_forgeable(verifier)
            refuse_misnamed(verifier)
        self._refuse_misfits()
        if len(set(self.voters)) < len(self.voters):
            raise PlanRefused("a voter is named twice: each has one share")
        if deployer.lower() in {*self.roles.values(), *self.voters}:
            raise PlanRefused(f"the deployer {deployer} keeps nothing: it has no role and no vote")
        if chain_id in LOCAL_CHAIN_IDS:
            return
        known = sorted({deployer.lower(), *self.roles.values(), *self.voters} & ANVIL_ACCOUNTS)
        if known:
            raise PlanRefused(f"accounts whose keys are public are refused on chain {chain_id}: {', '.join(known)}")
        insecure = sorted(verifier.name for verifier in self.verifiers if verifier.insecure)
        if insecure:
            raise PlanRefused(f"INSECURE verifying keys are refused on chain {chain_id}: {', '.join(insecure)}")
        small = sorted(verifier.name for verifier in self.verifiers if verifier.circuit in SMALL_CIRCUITS)
        if small:
            raise PlanRefused(f"verifiers of test circuits are refused on chain {chain_id}: {', '.join(small)}")
        if not self.voters:
            raise PlanRefused(f"without voters nobody could ever decide anything on chain {chain_id}")
        if self.log or self.universe or self.var_policies:
            raise PlanRefused(f"logs, universes and VaR policies are registered by governance on chain {chain_id}")

    def _refuse_misfits(self) -> None:
        # A verifying key does not show its shape: a policy of fewer days would be proved with the circuit's k
        known, planned = shapes(), {verifier.name for verifier in self.verifiers}
        for policy in self.var_policies:
            if policy.verifier not in known:
                raise PlanRefused(f"no circuit belongs to the verifier {policy.verifier}")
            if policy.verifier not in planned:
                raise PlanRefused(f"the plan has no verifying key of the verifier {policy.verifier}")
            _refuse_misfit(policy, known[policy.verifier], self.universe)
        if self.var_requirement and self.var_requirement.policy_id not in {
            policy.policy_id for policy in self.var_policies
        }:
            raise PlanRefused("orders cannot require a VaR policy that the plan does not define")


def _refuse_misfit(policy: VarPolicy, shape: Shape, universe: Universe | None) -> None:
    proved, named = (shape.instruments, shape.window), universe and (len(universe.instruments), universe.window)
    if named != proved:
        raise PlanRefused(f"{policy.verifier} proves (N, W) = {proved}, the plan's universe has {named}")
    if any(not 0 <= limit < 1 << shape.limit_bits for limit in (policy.limit, policy.es_limit)):
        raise PlanRefused(f"the limits of {policy.verifier} lie between 0 and 2^{shape.limit_bits}")
    if bool(policy.es_limit) != shape.expected_shortfall:
        wants = "an es_limit" if shape.expected_shortfall else "no es_limit: its circuit proves no expected shortfall"
        raise PlanRefused(f"{policy.verifier} takes {wants}")


def refuse_forgeable(verifier: Verifier) -> None:
    """Raise PlanRefused for a key of the wrong length, or one with which anyone proves anything."""
    key = verifier.key
    if len(key) != IC + 64 * (VAR_INPUTS + 1):
        raise PlanRefused(f"the verifying key of {verifier.name} has a length of {len(key)} bytes")
    # Without a second phase gamma = delta (or delta = generator), and every statement has a proof; as it has with
    # gamma = -delta, which shares its x, and with a point at infinity.
    gamma, delta = key[GAMMA][:G2_X], key[DELTA][:G2_X]
    lost = any(not any(key[part]) for part in (ALPHA, BETA, GAMMA, DELTA))
    if lost or gamma == delta or delta == G2_GENERATOR[:G2_X]:
        raise PlanRefused(f"the verifying key of {verifier.name} has no second phase: anything could be proved")


def refuse_misnamed(verifier: Verifier) -> None:
    """Raise PlanRefused for a key under the name of another circuit's verifier: a key does not show its circuit."""
    shape = circuits().get(verifier.circuit)
    if shape is None:
        raise PlanRefused(f"the verifying key of {verifier.name} is of no circuit that is known: {verifier.circuit}")
    if shape.verifier != verifier.name:
        raise PlanRefused(f"{verifier.circuit} is verified by {shape.verifier}, not by {verifier.name}")


def refuse_foreign(out: Path) -> None:
    """Raise PlanRefused for a folder that holds more than a deployment: writing replaces it as a whole."""
    if out.exists() and (
        not out.is_dir()
        or any(path.is_dir() or (path.suffix != ".json" and path.name != "steps.jsonl") for path in out.iterdir())
    ):
        raise PlanRefused(f"{out} holds more than a deployment, which would be lost")


def _bytes(text: str, length: int = 0) -> bytes:
    value = bytes.fromhex(text.removeprefix("0x"))
    if length and len(value) != length:
        raise PlanRefused(f"expected {length} bytes, found {len(value)}: {text}")
    return value


def _roles(given: Mapping[str, str]) -> dict[str, str]:
    strange = sorted(given.keys() - {*ROLES, *OFFICES})
    if strange:
        raise PlanRefused(f"no such role: {', '.join(strange)}")
    roles = {role: _address(given[role]) for role in ROLES}
    return roles | {office: _address(given.get(office, roles[holder])) for office, holder in OFFICES.items()}


def _address(text: str) -> str:
    if not int(_bytes(text, 20).hex(), 16):
        raise PlanRefused("the zero address plays no role")
    return text.lower()


def _verifier(name: str, given: Mapping[str, Any]) -> Verifier:
    # The name becomes a file beside the platform's own
    if not VERIFIER_NAME.fullmatch(name):
        raise PlanRefused(f"a verifier is called VarVerifier and more letters or digits, not {name!r}")
    if not isinstance(given["insecure"], bool):
        raise PlanRefused(f"whether the verifying key of {name} is insecure is true or false")
    return Verifier(name, given["circuit"], _bytes(given["key"]), given["insecure"])


def _var_policy(given: Mapping[str, Any]) -> VarPolicy:
    return VarPolicy(
        policy_id=_bytes(given["policy_id"], 32),
        limit=int(given["limit"]),
        es_limit=int(given.get("es_limit", 0)),
        circuit_hash=_bytes(given["circuit_hash"], 32),
        verifier=given["verifier"],
    )


def _var_requirement(given: Mapping[str, Any]) -> VarRequirement:
    return VarRequirement(_bytes(given["policy_id"], 32), int(given["max_age_seconds"]))
