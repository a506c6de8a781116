"""A deployment goes on where a kill -9 left it, does nothing twice, and refuses to become another."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from web3 import HTTPProvider, Web3
from web3.types import RPCEndpoint, RPCResponse

from scripts.deploy._artifacts import Artifact
from scripts.deploy._journal import alone, journal_beside
from scripts.deploy._plan import Plan, PlanRefused
from scripts.deploy._platform import deploy, verify
from tests.contracts.deploying import MOMENTS, Fate, KeySender, deploy_and_die, deploy_with
from tests.contracts.platform_world import ANVIL_KEY, PEOPLE, full_plan, node, plan_for

DEPLOYER = Account.from_key(ANVIL_KEY)
KEPT = PEOPLE["deployer"]
OP_SEPOLIA = 11_155_420


@pytest.fixture(scope="module")
def local() -> Iterator[str]:
    with node(42069) as url:
        yield url


@pytest.fixture
def url(local: str) -> Iterator[str]:
    """Give every test a chain on which nothing was deployed."""
    snapshot = ask(local, "evm_snapshot")
    yield local
    ask(local, "evm_revert", snapshot)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return written(tmp_path / "plan.json", tmp_path / "deployments")


def written(file: Path, out: Path, **more: object) -> Path:
    """Write a plan."""
    file.write_text(json.dumps(full_plan(out, **more)))
    return file


def ask(url: str, method: str, *arguments: object) -> object:
    """Ask the node something that is no part of Ethereum's interface."""
    answer = HTTPProvider(url).make_request(RPCEndpoint(method), list(arguments))
    assert "error" not in answer, answer
    return answer.get("result")


def sent(url: str, account: str = DEPLOYER.address) -> int:
    """Return how many transactions of the deployer's were mined."""
    return Web3(HTTPProvider(url)).eth.get_transaction_count(Web3.to_checksum_address(account))


def steps(plan: Path) -> list[dict[str, object]]:
    """Return the steps that a finished deployment names."""
    text = (Plan.from_json(plan.read_text()).out / "steps.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()[1:]]


def is_as_planned(url: str, plan: Path) -> bool:
    """Tell whether a deployment is read back."""
    planned = Plan.from_json(plan.read_text())
    return "code and roles as planned" in verify(planned, Web3(HTTPProvider(url)), planned.out)


class LateProvider(HTTPProvider):
    """A node that mines a transaction just after the first question about it."""

    def __init__(self, url: str, tx_hash: str) -> None:
        super().__init__(url)
        self.late = {tx_hash}

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Ask the node."""
        answer = super().make_request(method, params)
        if method == "eth_getTransactionReceipt" and params[0] in self.late:
            self.late.clear()
            return {**answer, "result": None}
        return answer


def test_a_step_that_is_mined_while_the_chain_is_asked_about_it_is_not_sent_again(url: str, plan: Path) -> None:
    assert deploy_and_die(ANVIL_KEY, url, plan, "sent", 3)
    assert sent(url) == 3
    planned = Plan.from_json(plan.read_text())
    last = json.loads(journal_beside(planned.out).read_text().splitlines()[-1])
    deploy(planned, Web3(LateProvider(url, last["tx_hash"])), KeySender(ANVIL_KEY, Fate()), planned.out)
    assert sent(url) == len(steps(plan))
    assert is_as_planned(url, plan)


def test_a_deployment_that_is_killed_again_and_again_is_carried_out_once(url: str, plan: Path) -> None:
    folder, deaths = Plan.from_json(plan.read_text()).out, 0
    while deploy_and_die(ANVIL_KEY, url, plan, MOMENTS[deaths % 4], 3 + 5 * deaths % 16):
        deaths += 1
        assert not folder.exists()
    assert deaths > 4
    deploy_with(ANVIL_KEY, url, plan)

    assert sent(url) == len(steps(plan)) == len({step["key"] for step in steps(plan)})
    assert not journal_beside(folder).exists()
    assert is_as_planned(url, plan)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_at_any_moment_of_a_step_neither_loses_nor_repeats_it(url: str, plan: Path, moment: str) -> None:
    assert deploy_and_die(ANVIL_KEY, url, plan, moment, 6)
    assert sent(url) == (5 if moment in {"signed", "written"} else 6)
    assert deploy_and_die(ANVIL_KEY, url, plan, "mined", 1)
    assert sent(url) == (6 if moment in {"signed", "written"} else 7)


def test_a_finished_deployment_that_is_run_again_does_nothing_and_says_so(url: str, plan: Path) -> None:
    assert "written to" in deploy_with(ANVIL_KEY, url, plan)
    before, files = sent(url), {path: path.read_text() for path in plan.parent.rglob("*.json")}
    assert deploy_with(ANVIL_KEY, url, plan).startswith("nothing to do: 26 contracts")
    assert sent(url) == before
    assert {path: path.read_text() for path in plan.parent.rglob("*.json")} == files


def test_another_plan_is_refused_with_what_differs_before_anything_is_sent(url: str, plan: Path) -> None:
    assert deploy_and_die(ANVIL_KEY, url, plan, "mined", 60)
    out, before = Plan.from_json(plan.read_text()).out, sent(url)
    other = written(plan.with_name("other.json"), out, max_notional_usd="49999")
    with pytest.raises(PlanRefused, match=r"step \d+ was deploy VolumePolicy\(.*, 50000000000\).*49999000000"):
        deploy_with(ANVIL_KEY, url, other)
    assert sent(url) == before
    deploy_with(ANVIL_KEY, url, plan)
    with pytest.raises(PlanRefused, match=r"step \d+ was deploy VolumePolicy"):
        deploy_with(ANVIL_KEY, url, other)
    with pytest.raises(PlanRefused, match=r"step \d+ was deploy VolumePolicy"):
        is_as_planned(url, other)
    assert is_as_planned(url, plan)


def test_other_bytecode_is_refused_with_the_contract_that_changed(url: str, plan: Path) -> None:
    assert deploy_and_die(ANVIL_KEY, url, plan, "mined", 2)
    journal = journal_beside(Plan.from_json(plan.read_text()).out)
    head, token, timelock = journal.read_text().splitlines()
    old = json.loads(timelock) | {"key": "00" * 32}
    old["what"] = old["what"][:-8] + "0badc0de"
    journal.write_text("\n".join([head, token, json.dumps(old)]) + "\n")
    with pytest.raises(PlanRefused, match=r"step 1 was deploy RefiTimelock\(.*creation code 0badc0de; now it would be"):
        deploy_with(ANVIL_KEY, url, plan)
    assert sent(url) == 2


def test_a_line_that_was_cut_off_while_it_was_written_is_forgotten(url: str, plan: Path) -> None:
    assert deploy_and_die(ANVIL_KEY, url, plan, "mined", 3)
    journal = journal_beside(Plan.from_json(plan.read_text()).out)
    with journal.open("a") as file:
        file.write('{"step": 3, "what": "Refi')
    assert deploy_and_die(ANVIL_KEY, url, plan, "mined", 2)
    assert sent(url) == 5
    assert [json.loads(line).get("step") for line in journal.read_text().splitlines()] == [None, 0, 1, 2, 3, 4]


def test_a_transaction_that_waits_in_the_pool_is_replaced_not_repeated(url: str, plan: Path) -> None:
    assert deploy_and_die(ANVIL_KEY, url, plan, "mined", 5)
    ask(url, "evm_setAutomine", False)
    for _ in range(2):
        assert deploy_and_die(ANVIL_KEY, url, plan, "sent", 1)
        assert sent(url) == 5
    ask(url, "evm_setAutomine", True)
    ask(url, "evm_mine")
    assert deploy_and_die(ANVIL_KEY, url, plan, "mined", 1)
    assert sent(url) == 7
    lines = journal_beside(Plan.from_json(plan.read_text()).out).read_text().splitlines()[1:]
    assert [json.loads(line)["nonce"] for line in lines] == [0, 1, 2, 3, 4, 5, 5, 6]


def test_a_nonce_that_somebody_else_used_costs_nothing_but_the_nonce(url: str, plan: Path) -> None:
    assert deploy_and_die(ANVIL_KEY, url, plan, "written", 4)
    web3 = Web3(HTTPProvider(url))
    web3.eth.wait_for_transaction_receipt(
        web3.eth.send_transaction(
            {"from": DEPLOYER.address, "to": PEOPLE["stranger"].address, "value": Web3.to_wei(1, "wei")}
        )
    )
    deploy_with(ANVIL_KEY, url, plan)
    assert sent(url) == len(steps(plan)) + 1
    assert is_as_planned(url, plan)


def test_what_the_deployer_registers_beside_the_plan_is_found(url: str, plan: Path) -> None:
    assert deploy_and_die(ANVIL_KEY, url, plan, "mined", 40)
    lines = journal_beside(Plan.from_json(plan.read_text()).out).read_text().splitlines()[1:]
    [made] = [step for step in map(json.loads, lines) if step["what"].startswith("deploy AuditAnchor")]
    web3 = Web3(HTTPProvider(url))
    anchor = web3.eth.contract(
        web3.eth.get_transaction_receipt(made["tx_hash"])["contractAddress"], abi=Artifact.load("AuditAnchor").abi
    )
    own = anchor.functions.registerLog("refi.trading/own", b"\2" * 32, [PEOPLE["stranger"].address])
    web3.eth.wait_for_transaction_receipt(own.transact({"from": DEPLOYER.address}))
    with pytest.raises(PlanRefused, match="LogRegistered: 2 times before the hand-over, 1 planned"):
        deploy_with(ANVIL_KEY, url, plan)
    assert not Plan.from_json(plan.read_text()).out.exists()


def test_two_runs_at_once_are_refused(url: str, plan: Path) -> None:
    with alone(Plan.from_json(plan.read_text()).out), pytest.raises(PlanRefused, match="another run is deploying"):
        deploy_with(ANVIL_KEY, url, plan)
    assert sent(url) == 0


def test_a_local_chain_that_is_gone_takes_its_deployment_and_its_journal_with_it(url: str, plan: Path) -> None:
    deploy_with(ANVIL_KEY, url, plan)
    journal = journal_beside(Plan.from_json(plan.read_text()).out)
    journal.write_text((Plan.from_json(plan.read_text()).out / "steps.jsonl").read_text())
    with node(42069) as fresh:
        other = written(plan, Plan.from_json(plan.read_text()).out, max_notional_usd="49999")
        assert "written to" in deploy_with(ANVIL_KEY, fresh, other)
        assert is_as_planned(fresh, other)


def test_off_a_local_chain_what_the_chain_does_not_know_is_refused(url: str, tmp_path: Path) -> None:
    out, plan = tmp_path / "deployments", tmp_path / "plan.json"
    plan.write_text(json.dumps(plan_for(out)))
    with node(OP_SEPOLIA) as chain:
        ask(chain, "anvil_setBalance", KEPT.address, hex(10**20))
        before = ask(chain, "evm_snapshot")
        deploy_with(KEPT.key, chain, plan)
        assert deploy_with(KEPT.key, chain, plan).startswith("nothing to do")
        assert is_as_planned(chain, plan)
        with pytest.raises(PlanRefused, match="give this one another `out`"):
            deploy_with(PEOPLE["stranger"].key, chain, plan)

        ask(chain, "evm_revert", before)
        with pytest.raises(PlanRefused, match="does not know step 0: deploy RefiToken"):
            deploy_with(KEPT.key, chain, plan)
        assert sent(chain, KEPT.address) == 0
        (out / "steps.jsonl").unlink()
        with pytest.raises(PlanRefused, match=r"a deployment without its steps\.jsonl"):
            deploy_with(KEPT.key, chain, plan)
