"""Deploy the platform, or go on with a deployment that was cut off; read one back."""

import json
from collections.abc import Iterator
from pathlib import Path

from web3 import Web3
from web3.providers import JSONBaseProvider
from web3.types import RPCEndpoint

from ._checks import faults
from ._journal import STEPS, Journal, alone, journal_beside
from ._plan import LOCAL_CHAIN_IDS, Plan, PlanRefused, refuse_foreign
from ._steps import Deployment, Sender
from ._wiring import deploy_everything, provide_locally


def deploy(plan: Plan, web3: Web3, sender: Sender, out: Path) -> str:
    """Deploy, check, and only then write the deployment down; return what was done."""
    chain_id = _asked_once(web3)
    plan.refuse_unsafe(chain_id, sender.address)
    refuse_foreign(out)
    with alone(out):
        at = _taken_up(web3, chain_id, sender, out)
        deploy_everything(at, plan)
        _refuse_more(at)
        if at.journal.is_finished:
            return f"nothing to do: {len(at.records)} contracts are on chain {chain_id} as the plan says, in {out}"
        if chain_id in LOCAL_CHAIN_IDS:
            provide_locally(at, plan)
        _refuse_faults(faults(at, plan))
        at.write(out)
        journal_beside(out).unlink()
    again = len(at.mined) - at.sent
    resumed = f", {again} of {len(at.mined)} steps from the run before" if again else ""
    return f"{len(at.records)} contracts on chain {chain_id}, written to {out}{resumed}"


def verify(plan: Plan, web3: Web3, out: Path) -> str:
    """Check that every step of a deployment is the plan's and that code and roles are still as planned."""
    chain_id = _asked_once(web3)
    if not (out / STEPS).exists():
        raise PlanRefused(f"{out} holds no deployment")
    journal = Journal.read(out / STEPS, finished=True)
    if journal.chain_id != chain_id:
        raise PlanRefused(f"{out} holds a deployment on chain {journal.chain_id}, not on chain {chain_id}")
    at = Deployment(web3, chain_id, journal)
    deploy_everything(at, plan)
    _refuse_more(at)
    _refuse_faults([*record_faults(at, out), *faults(at, plan)])
    return f"{len(at.records)} contracts on chain {chain_id}: code and roles as planned"


def record_faults(at: Deployment, out: Path) -> Iterator[str]:
    """Yield the records that say something else than the chain and forge's artifacts."""
    kept = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(out.glob("*.json"))}
    for name in sorted(kept.keys() ^ at.records.keys()):
        yield f"{name}: {'recorded, but not planned' if name in kept else 'planned, but not recorded'}"
    for name in sorted(kept.keys() & at.records.keys()):
        found = json.loads(json.dumps(at.records[name]))
        wrong = sorted(part for part in found.keys() | kept[name].keys() if found.get(part) != kept[name].get(part))
        if wrong:
            yield f"{name}: recorded otherwise: {', '.join(wrong)}"


def _asked_once(web3: Web3) -> int:
    # web3 asks for the chain's id before every call and every transaction
    if isinstance(web3.provider, JSONBaseProvider):
        web3.provider.cacheable_requests = {RPCEndpoint("eth_chainId")}
        web3.provider.cache_allowed_requests = True
    return web3.eth.chain_id


def _taken_up(web3: Web3, chain_id: int, sender: Sender, out: Path) -> Deployment:
    unfinished = journal_beside(out)
    for path, finished in ((unfinished, False), (out / STEPS, True)):
        if not path.exists():
            continue
        at = Deployment(web3, chain_id, Journal.read(path, finished=finished), None if finished else sender)
        same = (at.journal.chain_id, at.deployer.lower()) == (chain_id, sender.address.lower())
        if same and (chain_id not in LOCAL_CHAIN_IDS or at.knows_any()):
            if not finished:
                at.journal.cut()
            return at
        # A local chain that is gone takes its deployments with it
        if chain_id not in LOCAL_CHAIN_IDS or (at.journal.chain_id == chain_id and at.knows_any()):
            raise PlanRefused(
                f"{path} is a deployment by {at.deployer} on chain {at.journal.chain_id}: give this one another `out`"
            )
    if chain_id not in LOCAL_CHAIN_IDS and out.exists() and any(out.iterdir()):
        raise PlanRefused(f"{out} holds a deployment without its {STEPS}: give this one another `out`")
    journal = Journal(unfinished, chain_id, sender.address)
    journal.start()
    return Deployment(web3, chain_id, journal, sender)


def _refuse_more(at: Deployment) -> None:
    rest = sorted(step for step in at.journal.steps if step >= len(at.mined))
    if rest:
        raise PlanRefused(f"step {rest[0]} was {at.journal.steps[rest[0]][0].what}; the plan ends before it")


def _refuse_faults(found: list[str]) -> None:
    if found:
        raise PlanRefused("not as planned: " + "; ".join(found))
