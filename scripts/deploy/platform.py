"""Deploy the whole platform: `ape run deploy platform --network ethereum:local:foundry`, REFI_DEPLOY_PLAN=plan.json."""

import sys
from typing import Any

from ape import accounts, chain

from ._checks import faults
from ._contracts import ROOT, Deployment
from ._plan import LOCAL_CHAIN_IDS, Plan, PlanRefused, refuse_foreign
from ._wiring import deploy_everything


def deployer_of(plan: Plan, chain_id: int) -> Any:
    """Return the account that pays: the local node's first one, or the one that the plan names."""
    if chain_id in LOCAL_CHAIN_IDS and not plan.deployer:
        return accounts.test_accounts[0]
    if not plan.deployer:
        raise PlanRefused(f"the plan names no deployer for chain {chain_id}: an alias of `ape accounts list`")
    deployer = accounts.load(plan.deployer)
    # One passphrase instead of a question for each of some eighty transactions.
    deployer.set_autosign(True)
    return deployer


def deploy(plan: Plan) -> None:
    """Deploy, check, and only then write the deployment down."""
    deployer = deployer_of(plan, chain.chain_id)
    plan.refuse_unsafe(chain.chain_id, str(deployer.address))
    refuse_foreign(ROOT / plan.out)
    at = Deployment(deployer, chain.chain_id)
    deploy_everything(at, plan)
    found = faults(at.contracts, at.records, plan, str(deployer.address))
    if found:
        raise PlanRefused("not as planned: " + "; ".join(found))
    at.write(ROOT / plan.out)
    print(f"{len(at.records)} contracts on chain {chain.chain_id}, written to {plan.out}")


def main() -> None:
    """Deploy the plan; a refusal is one line on standard error."""
    try:
        deploy(Plan.read())
    except PlanRefused as refusal:
        sys.exit(f"deploy: {refusal}")
