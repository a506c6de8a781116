"""Which rules stand before which function, in which order: what is installed and what is verified."""

from collections.abc import Iterator
from dataclasses import dataclass

from eth_utils.crypto import keccak

from ._plan import Plan

SUBMIT_ORDER = "submitOrder(address,bytes32,uint256,bytes32)"
SETTLE_VOLUMES = "settleVolumes((address,uint256)[])"
ISSUING = {
    "IdentityRegistry": (
        "registerIdentity(bytes32,address,bytes)",
        "registerIdentities(bytes32[],address[],bytes)",
        "removeIdentity(bytes32,address,bytes)",
    ),
    "CredentialRegistry": (
        "registerCredential(bytes32,bytes32,uint40,bytes,bytes)",
        "registerCredentials(bytes32,bytes32[],uint40,bytes[],bytes)",
        "removeCredential(bytes32,bytes32,bytes)",
        "renewCredential(bytes32,bytes32,uint40,bytes)",
    ),
}
TRUSTING = {"TrustedIssuerRegistry": ("addTrustedIssuer(string,bytes)", "removeTrustedIssuer(string,bytes)")}
PROTECTED = ("OrderGate", *ISSUING, *TRUSTING)


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy before a function, with the names of the call's parameters that it judges."""

    target: str
    function: str
    policy: str
    parameters: tuple[str, ...] = ()

    @property
    def selector(self) -> bytes:
        """The function's first four bytes."""
        return selector_of(self.function)

    @property
    def names(self) -> list[bytes]:
        """The parameters as the extractor names them."""
        return [bytes(keccak(text=parameter)) for parameter in self.parameters]


def selector_of(function: str) -> bytes:
    """Return a function's first four bytes."""
    return bytes(keccak(text=function)[:4])


def rules(plan: Plan) -> Iterator[Rule]:
    """Yield every rule, those of one function in the order in which they are asked."""
    size = Rule("OrderGate", SUBMIT_ORDER, "VolumePolicy", ("notional",))
    if plan.var_requirement:
        size = Rule("OrderGate", SUBMIT_ORDER, "VarAttestationPolicy", ("account",))
    yield Rule("OrderGate", SUBMIT_ORDER, "PausePolicy")
    yield Rule("OrderGate", SUBMIT_ORDER, "AuthorizedSenderPolicy")
    yield Rule("OrderGate", SUBMIT_ORDER, "SanctionsPolicy", ("account",))
    yield Rule("OrderGate", SUBMIT_ORDER, "CredentialValidatorPolicy", ("account",))
    yield size
    yield Rule("OrderGate", SUBMIT_ORDER, "SlidingVolumePolicy", ("account", "notional"))
    yield Rule("OrderGate", SUBMIT_ORDER, "ProgressiveCapPolicy", ("account", "notional"))
    yield Rule("OrderGate", SUBMIT_ORDER, "ApprovedModelPolicy", ("modelHash",))
    yield Rule("OrderGate", SETTLE_VOLUMES, "AuthorizedSenderPolicy")
    yield Rule("OrderGate", SETTLE_VOLUMES, "SlidingVolumePolicy", ("settlements",))
    for functions, sender in ((ISSUING, "IssuerSenderPolicy"), (TRUSTING, "GovernanceSenderPolicy")):
        for registry, protected in functions.items():
            yield from (Rule(registry, function, sender) for function in protected)


def chains(plan: Plan) -> dict[tuple[str, str], list[Rule]]:
    """Return the rules of every protected function, by (target, function)."""
    found: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules(plan):
        found.setdefault((rule.target, rule.function), []).append(rule)
    return found


def limits(plan: Plan) -> tuple[tuple[str, str, str], ...]:
    """Return the limits that move by small steps: (policy, getter, setter)."""
    sliding = ("SlidingVolumePolicy", "getLimit()", "setLimit(uint256)")
    return (sliding,) if plan.var_requirement else (("VolumePolicy", "getMax()", "setMax(uint256)"), sliding)
