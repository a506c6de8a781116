"""The voter's side of governance, done with the voter's own wallet against the contracts."""

import json
from typing import Any

from eth_account import Account

from backend.cli.demo.run import Run, Tell
from backend.cli.local import rpc
from backend.kernel.errors import Conflict

VOTE_FOR = 1
EXECUTED = 7


class Ballot:
    """Sends the voter's transactions and moves the local chain's clock through the waiting times."""

    def __init__(self, run: Run) -> None:
        from web3 import HTTPProvider, Web3

        built = json.loads((run.settings.deployment_dir / "RefiGovernor.json").read_text())
        self._run = run
        self._web3 = Web3(HTTPProvider(run.rpc_url))
        self._governor = self._web3.eth.contract(address=Web3.to_checksum_address(built["address"]), abi=built["abi"])
        self._voter = run.wallets["voter"]

    def send(self, function: str, *arguments: Any) -> None:
        """Send one call of the governor, signed by the voter."""
        call = getattr(self._governor.functions, function)(*arguments)
        transaction = call.build_transaction(
            {"from": self._voter.address, "nonce": self._web3.eth.get_transaction_count(self._voter.key.address)}
        )
        signed = Account.sign_transaction(transaction, self._voter.key.key)
        receipt = self._web3.eth.wait_for_transaction_receipt(
            self._web3.eth.send_raw_transaction(signed.raw_transaction)
        )
        if receipt["status"] != 1:
            raise Conflict(f"the governor refused {function}")

    def read(self, function: str, *arguments: Any) -> Any:
        """Ask the governor."""
        return getattr(self._governor.functions, function)(*arguments).call()

    def wait_until(self, timestamp: int) -> None:
        """Move the local chain's clock past a moment."""
        rpc(self._run.rpc_url, "evm_setNextBlockTimestamp", timestamp + 1)
        rpc(self._run.rpc_url, "evm_mine")


def vote_into_production(run: Run, proposal: dict[str, Any], tell: Tell) -> int:
    """Propose, vote, queue and execute; return the proposal's id."""
    ballot = Ballot(run)
    targets, values = proposal["targets"], [int(value) for value in proposal["values"]]
    calls = [bytes.fromhex(call.removeprefix("0x")) for call in proposal["calldatas"]]
    described = bytes.fromhex(proposal["description_hash"].removeprefix("0x"))
    tell("proposed")
    ballot.send("propose", targets, values, calls, proposal["description"])
    number = int(ballot.read("hashProposal", targets, values, calls, described))
    ballot.wait_until(ballot.read("proposalSnapshot", number))
    tell("voting")
    ballot.send("castVote", number, VOTE_FOR)
    ballot.wait_until(ballot.read("proposalDeadline", number))
    tell("queued in the timelock")
    ballot.send("queue", targets, values, calls, described)
    ballot.wait_until(ballot.read("proposalEta", number))
    ballot.send("execute", targets, values, calls, described)
    if ballot.read("state", number) != EXECUTED:
        raise Conflict(f"proposal {number} was not executed")
    return number


def define_probe_policy(run: Run, name: str, limits: dict[str, int]) -> str:
    """Define, as the timelock that a local node may stand in for, a copy of the VaR policy with another limit.

    Return its id.

    limits: `limit` or `esLimit` in 1e-16 USD.
    """
    from web3 import HTTPProvider, Web3

    web3 = Web3(HTTPProvider(run.rpc_url))
    built = json.loads((run.settings.deployment_dir / "VarAttestor.json").read_text())
    attestor = web3.eth.contract(address=Web3.to_checksum_address(built["address"]), abi=built["abi"])
    [answer] = attestor.get_function_by_name("policyOf").abi["outputs"]
    fields = [field["name"] for field in answer["components"]]
    policy = dict(zip(fields, attestor.functions.policyOf(run.facts["policy_id"]).call(), strict=True)) | limits
    probe = Web3.keccak(text=f"probe/{name}")
    defining = attestor.functions.definePolicy(probe, tuple(policy.values()))
    timelock = attestor.functions.owner().call()
    rpc(run.rpc_url, "anvil_setBalance", timelock, hex(10**18))
    rpc(run.rpc_url, "anvil_impersonateAccount", timelock)
    web3.eth.wait_for_transaction_receipt(defining.transact({"from": timelock}))
    rpc(run.rpc_url, "anvil_stopImpersonatingAccount", timelock)
    return Web3.to_hex(probe)
