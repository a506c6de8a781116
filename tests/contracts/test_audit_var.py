"""`refi audit var` on a real attestor: what it reads is what the contracts wrote, and a lying RPC between is caught."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest

from backend.cli.audit.access import Names
from backend.cli.audit.var import Asked, audit_var
from backend.proofs.engine.claim import attestation_id, context
from backend.proofs.engine.returns import returns_id
from backend.transparency.engine.verifier import Rpc, require_groth16
from scripts.chaos.attestor_chain import AttestorChain
from tests.backend.transparency.conftest import Chain, Endpoint
from tests.circuits.example import CIRCUIT, EPOCH
from tests.contracts.var_world import LIMITS, MARKET, POLICY, VAR_ONLY, attest, proved, var_world

# Every test sees the same proofs: each is verified once.
remembering = lru_cache(require_groth16)
LATE = replace(MARKET, epoch=EPOCH + 2)
Lie = Callable[[str, list[Any], Any], Any]


@pytest.fixture(scope="module")
def chain() -> Iterator[AttestorChain]:
    """Run a chain with the epochs EPOCH and EPOCH + 2 attested, under both policies, and the one between skipped."""
    with var_world() as world:
        world.publish(LATE)
        second = list(world.web3.eth.accounts)[3]
        world.send(world.oracle.functions.setPublisher(second, True))
        signing = world.oracle.functions.countersign(LATE.universe_id, LATE.epoch, returns_id(LATE))
        world.send(signing, second)
        for circuit in (CIRCUIT, VAR_ONLY):
            previous = bytes(32)
            for anchor, market in enumerate((MARKET, LATE)):
                binding = world.bind(POLICY[circuit], market.epoch, previous=previous, anchor_index=anchor)
                claim, proof = proved(binding, circuit, market=market)
                attest(world, binding, claim.statement, proof, market)
                previous = attestation_id(context(binding), claim.statement.commitment, returns_id(market))
        yield world


class Forwarded(Chain):
    """A node that somebody stands before, who tells something else."""

    def __init__(self, url: str, lie: Lie) -> None:
        super().__init__()
        self.node, self.lie = Rpc(url, 10.0), lie

    def answer(self, method: str, parameters: list[Any]) -> Any:
        """Return the node's answer as the liar tells it."""
        return self.lie(method, parameters, self.node.ask(method, *parameters))


def url_of(chain: AttestorChain) -> str:
    return str(getattr(chain.web3.provider, "endpoint_uri"))  # noqa: B009 - only HTTP providers have it


def audited(chain: AttestorChain, url: str, capsys: pytest.CaptureFixture[str], **named: Any) -> tuple[int, Any]:
    names = Names("", chain.anchor.address, 42069, (url,), chain.attestor.address)
    code = audit_var(Asked("0x" + "5b" * 20, names, **named), as_json=True, groth16=remembering)
    return code, json.loads(capsys.readouterr().out)


def test_a_stranger_verifies_both_chains_of_a_wallet_from_a_node_alone(
    chain: AttestorChain, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = audited(chain, url_of(chain), capsys)
    assert code == 0, said
    assert {policy["policy_id"] for policy in said["policies"]} == {"0x" + one.hex() for one in POLICY.values()}
    for policy in said["policies"]:
        assert [epoch["state"] for epoch in policy["epochs"]] == ["attested", "skipped", "attested"]
        assert [epoch["countersigned"] for epoch in policy["epochs"]] == [False, False, True]
        assert [epoch.get("verified") for epoch in policy["epochs"]] == [True, None, True]
    proofs = [check["detail"] for check in said["checks"] if check["name"].startswith("proofs")]
    assert proofs == ["2 folds and Groth16 proofs verified from calldata"] * 2
    shown = sorted(check["detail"] for check in said["checks"] if check["name"].startswith("policy"))
    assert ["ES within" in detail for detail in shown].count(True) == 1
    assert all("k = 5 of 90 days, 16 instruments" in detail for detail in shown)


def without(place: int) -> Lie:
    """Return a lie that leaves out one of the wallet's attestations."""

    def tell(method: str, parameters: list[Any], answer: Any) -> Any:
        if method == "eth_getLogs" and len(parameters[0]["topics"]) == 4:
            return answer[:place] + answer[place + 1 :]
        return answer

    return tell


def previous_of_another(method: str, parameters: list[Any], answer: Any) -> Any:
    """Tell that the last attestation follows another one."""
    if method == "eth_getLogs" and len(parameters[0]["topics"]) == 4:
        data = answer[-1]["data"]
        return [*answer[:-1], answer[-1] | {"data": data[:66] + "ab" * 32 + data[130:]}]
    return answer


def a_wider_limit(method: str, _parameters: list[Any], answer: Any) -> Any:
    """Tell a VaR limit ten times as high wherever the policy stands."""
    limit = LIMITS[CIRCUIT].var
    low, high = f"{limit:064x}", f"{10 * limit:064x}"
    if method == "eth_call":
        return answer.replace(low, high)
    if method == "eth_getLogs":
        return [event | {"data": event["data"].replace(low, high)} for event in answer]
    return answer


def other_prices(method: str, _parameters: list[Any], answer: Any) -> Any:
    """Tell a transaction's input with another price."""
    price = f"{MARKET.prices[0]:064x}"
    if method == "eth_getTransactionByHash":
        return answer | {"input": answer["input"].replace(price, f"{MARKET.prices[0] + 1:064x}")}
    return answer


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (without(0), "links"),
        (without(1), "links"),
        (previous_of_another, "events"),
        (a_wider_limit, "proofs"),
        (other_prices, "proofs"),
    ],
)
def test_a_lie_between_the_node_and_the_stranger_is_caught(
    lie: Lie, check: str, chain: AttestorChain, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Endpoint(Forwarded(url_of(chain), lie), "honest", threading.Event())
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    code, said = audited(chain, url, capsys, policy="0x" + POLICY[CIRCUIT].hex())
    server.shutdown()
    server.server_close()
    assert code == 1
    assert check in {one["name"] for one in said["checks"] if one["result"] == "fail"}
