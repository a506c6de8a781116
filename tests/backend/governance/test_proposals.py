"""Proposals over HTTP, without a chain: what a wallet is given to sign, and what is refused."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_utils.crypto import keccak

from backend.accounts.endpoints import signed_in
from backend.accounts.types import Caller, Role
from backend.adapters.governance.contracts import ContractBook
from backend.cli.gov.shown import page
from backend.governance.endpoints import router
from backend.governance.engine import proposal_from, proposal_id
from backend.governance.service import ProposalService
from backend.governance.types import CallSpec, ProposalState
from backend.kernel.errors import Invalid
from backend.ports.chain import Reverted
from backend.ports.governance import Ballot, Call, Proposed
from tests.backend.governance.dao import FakeVotes
from tests.fakes import FakeChain, FakeJournal, client_of, serve

WALLET, OTHER = "0x" + "11" * 20, "0x" + "22" * 20
POLICY, RELAY = "0x" + "33" * 20, "0x" + "44" * 20
TRADER = Caller(2, WALLET, "trader-pseudonym", frozenset({Role.TRADER}))
RELAYED = {"target": "address", "value": "uint256", "data": "bytes"}
SET_LIMIT = {
    "type": "function",
    "name": "setLimit",
    "inputs": [{"name": "limit", "type": "uint256"}],
    "outputs": [],
    "stateMutability": "nonpayable",
}
RELAYING = {
    **SET_LIMIT,
    "name": "relay",
    "inputs": [{"name": name, "type": kind} for name, kind in RELAYED.items()],
}
BODY: dict[str, Any] = {
    "text": "Raise the limit",
    "calls": [{"target": "LimitPolicy", "function": "setLimit", "arguments": ["5"]}],
}

PROPOSAL: dict[str, Any] = {
    "governor": OTHER, "targets": [POLICY], "values": ["0"], "calldatas": ["0x"], "description": "x",
    "description_hash": "0x" + keccak(text="x").hex(),
}  # fmt: skip


class Dao:
    """A service over a chain and events that a test writes."""

    def __init__(self, folder: Path) -> None:
        facts = {"address": POLICY, "abi": [SET_LIMIT], "chain_id": 42069, "block_number": 1}
        (folder / "LimitPolicy.json").write_text(json.dumps(facts))
        (folder / "RefiGovernor.json").write_text(json.dumps(facts | {"address": RELAY, "abi": [RELAYING]}))
        self.chain, self.votes = FakeChain(), FakeVotes()
        self.book = ContractBook(folder)
        self.service = ProposalService(self.chain, self.book, self.votes, FakeJournal())
        now = self.chain.blocks[-1].timestamp
        for contract, function, answer in (
            ("RefiGovernor", "proposalVotes", (10, 20, 5)),
            ("RefiGovernor", "quorum", 25),
            ("RefiGovernor", "proposalDeadline", now + 100),
            ("RefiGovernor", "proposalEta", 0),
            ("RefiGovernor", "state", int(ProposalState.ACTIVE)),
            ("RefiTimelock", "getMinDelay", 86_400),
        ):
            self.chain.answer(contract, function, lambda *_, found=answer: found)

    def made(self, text: str, limit: int = 5) -> Proposed:
        """Put a proposal to the vote."""
        call = Call(POLICY, 0, self.book.encode(POLICY, "setLimit", [str(limit)]))
        proposed = Proposed(77, WALLET, (call,), text, 1, 2, 3, "0xab")
        self.votes.made.append(proposed)
        return proposed


@pytest.fixture
def dao(tmp_path: Path) -> Dao:
    return Dao(tmp_path)


@pytest.fixture
async def client(dao: Dao) -> AsyncIterator[httpx.AsyncClient]:
    app = serve({ProposalService: dao.service}, router)
    app.dependency_overrides[signed_in] = lambda: TRADER
    async with client_of(app) as opened:
        yield opened


async def test_a_wallet_gets_a_proposal_that_only_it_can_send(dao: Dao, client: httpx.AsyncClient) -> None:
    built = (await client.post("/governance/proposals", json=BODY)).json()
    proposal = proposal_from(built["proposal"])
    assert str(proposal_id(proposal)) == built["proposal_id"]
    assert f"1. LimitPolicy at {POLICY} setLimit(limit: 5)" in proposal.description
    assert proposal.description.lower().endswith(f"#proposer={WALLET}")
    assert built["check"] == {"text_matches": True, "reasons": []}
    assert (built["transaction"]["from"], built["transaction"]["gas"]) == (WALLET, 90_000)
    assert built["transaction"]["to"] == dao.chain.address("RefiGovernor")
    assert dao.chain.sent == []
    again = await client.post(
        "/governance/transactions", json={"action": "propose", "proposal": built["proposal"], "sender": OTHER}
    )
    assert again.json() == {**built["transaction"], "from": OTHER}


async def test_every_step_is_a_transaction_and_none_is_sent(dao: Dao, client: httpx.AsyncClient) -> None:
    dao.made("Raise the limit")
    for step in (
        {"action": "delegate", "delegatee": OTHER},
        {"action": "vote", "proposal_id": "77", "support": "for", "reason": "good"},
        {"action": "queue", "proposal_id": "77"},
        {"action": "execute", "proposal_id": "77"},
        {"action": "cancel", "proposal_id": "77"},
    ):
        answer = await client.post("/governance/transactions", json=step)
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {"to", "data", "value", "chain_id", "from", "gas"}
    assert dao.chain.sent == []


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ({"action": "vote", "proposal_id": "77"}, 422),
        ({"action": "vote", "proposal_id": "77", "support": "perhaps"}, 422),
        ({"action": "queue", "proposal_id": "78"}, 404),
        ({"action": "delegate", "delegatee": "0x" + "00" * 20}, 422),
        ({"action": "propose", "proposal": {}}, 422),
        ({"action": "vote", "proposal_id": "9" * 78, "support": "for"}, 422),
        ({"action": "propose", "proposal": PROPOSAL | {"values": ["-1"]}}, 422),
        ({"action": "propose", "proposal": PROPOSAL | {"values": ["9" * 78]}}, 422),
        ({"action": "grant", "proposal_id": "77"}, 422),
    ],
)
async def test_a_step_that_makes_no_sense_is_refused(
    step: dict[str, Any], status: int, client: httpx.AsyncClient
) -> None:
    assert (await client.post("/governance/transactions", json=step)).status_code == status


async def test_what_the_chain_would_refuse_is_a_conflict(dao: Dao, client: httpx.AsyncClient) -> None:
    dao.votes.refusal = Reverted("GovernorInsufficientProposerVotes", (WALLET, 0, 1))
    answer = await client.post("/governance/proposals", json=BODY)
    assert answer.status_code == 409
    assert "GovernorInsufficientProposerVotes" in answer.text


async def test_a_proposal_is_shown_with_its_votes_and_whether_its_text_is_true(
    dao: Dao, client: httpx.AsyncClient
) -> None:
    honest = (await client.post("/governance/proposals", json=BODY)).json()["proposal"]["description"]
    dao.made(honest, limit=500)
    dao.votes.cast[77] = [
        Ballot(OTHER, 1, 20, "yes \udcff", "0xcd"),
        Ballot(WALLET, 9, 1, "", "0xce"),
        Ballot(WALLET, 1, 0, "spam", "0xcf"),
    ]
    shown = (await client.get("/governance/proposals/77")).json()
    assert shown["text_matches"] is False
    assert "setLimit(limit: 5)" in shown["reasons"][0]
    assert "setLimit(limit: 500)" in shown["reasons"][0]
    assert shown["votes"] == {"against": "10", "for": "20", "abstain": "5", "quorum": "25", "quorum_reached": True}
    assert [(ballot["support"], ballot["reason"]) for ballot in shown["ballots"]] == [("for", "yes \ufffd"), ("9", "")]
    assert shown["timing"]["extended_by_late_quorum"]
    assert shown["timing"]["executable_at"] is None
    listed = (await client.get("/governance/proposals?limit=1")).json()
    assert (listed["count"], listed["items"][0]["ballots"]) == (1, [])
    assert (await client.get("/governance/proposals?offset=1")).json()["items"] == []
    assert (await client.get("/governance/proposals/78")).status_code == 404
    assert (await client.get("/governance/proposals/x")).status_code == 422


@pytest.mark.parametrize(
    "change",
    [
        {"calls": []},
        {"calls": [{"target": "LimitPolicy"}]},
        {"calls": [{"target": "LimitPolicy", "function": "setLimit", "arguments": ["5"], "data": "0x00"}]},
        {"calls": [{"target": "LimitPolicy", "data": "0x0"}]},
        {"calls": [{"target": "Nobody", "data": "0x00"}]},
        {"text": ""},
        {"text": "A\u202echange"},
        {"proposer": "me"},
        {"calls": [{"target": "LimitPolicy", "function": "setLimit", "arguments": ["5"], "value": "9" * 78}]},
        {"calls": [{"target": "LimitPolicy", "function": "setLimit", "arguments": ["9" * 5_000]}]},
        {"text": "Pr\u043emote a model"},
    ],
)
async def test_a_proposal_that_is_malformed_is_refused(change: dict[str, Any], client: httpx.AsyncClient) -> None:
    assert (await client.post("/governance/proposals", json=BODY | change)).status_code == 422


@pytest.mark.parametrize("half", ["\ud800", "a\udcffb"])
def test_half_a_character_is_refused_where_text_is_expected(half: str, dao: Dao) -> None:
    with pytest.raises(Invalid, match="Unicode"):
        dao.service.vote(77, "for", half)
    with pytest.raises(Invalid, match="Unicode"):
        proposal_from(PROPOSAL | {"description": half})


async def test_calls_that_are_carried_too_deep_are_not_what_any_text_says(dao: Dao) -> None:
    call = Call(POLICY, 0, dao.book.encode(POLICY, "setLimit", ["5"]))
    for _ in range(6):
        call = Call(RELAY, 0, dao.book.encode(RELAY, "relay", [call.target, "0", "0x" + call.data.hex()]))
    spec = CallSpec(RELAY, data="0x" + call.data.hex())
    _, check = dao.service.examine(dao.service.build([spec], "Something deep"))
    assert check.matches is None


async def test_a_state_that_there_is_not_is_no_answer(dao: Dao, client: httpx.AsyncClient) -> None:
    dao.made("Raise the limit")
    dao.chain.answer("RefiGovernor", "state", lambda *_: 9)
    assert (await client.get("/governance/proposals/77")).status_code == 503


async def test_a_moment_beyond_the_calendar_is_shown(dao: Dao) -> None:
    dao.made("Raise the \x1b[2Jlimit")
    dao.chain.answer("RefiGovernor", "proposalDeadline", lambda *_: 2**63)
    told = "\n".join(page(await dao.service.shown(77)))
    assert f"{2**63} s after 1970" in told
    assert "\x1b" not in told
    assert "do not show: U+001B" in told
