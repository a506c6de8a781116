"""Read a deployment back: `ape run deploy verify --network ...`, REFI_DEPLOY_PLAN=plan.json."""

import json
import sys

from ape import Contract, chain

from ._checks import faults
from ._contracts import ROOT
from ._plan import Plan, PlanRefused


def verify(plan: Plan) -> None:
    """Check code and roles of the deployment that the plan names."""
    folder = ROOT / plan.out
    records = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
    if not records:
        raise PlanRefused(f"{plan.out} holds no deployment")
    strays = [name for name, record in records.items() if record["chain_id"] != chain.chain_id]
    if strays:
        raise PlanRefused(f"not on chain {chain.chain_id}: {', '.join(strays)}")
    contracts = {name: Contract(record["address"], abi=record["abi"]) for name, record in records.items()}
    deployer = records["RefiToken"]["constructor_args"][0]
    found = faults(contracts, records, plan, deployer)
    if found:
        raise PlanRefused("not as planned: " + "; ".join(found))
    print(f"{len(contracts)} contracts on chain {chain.chain_id}: code and roles as planned")


def main() -> None:
    """Verify the plan's deployment; a fault is one line on standard error."""
    try:
        verify(Plan.read())
    except PlanRefused as refusal:
        sys.exit(f"verify: {refusal}")
