"""`refi gov` and `refi agent promote` as a voter, the operator and the guardian run them on a real chain."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from eth_utils.crypto import keccak

from agents.env import ACTIONS
from agents.export import save_model
from agents.features import FEATURE_SCHEMA, Normaliser
from agents.model import Model
from agents.networks import QNetwork
from backend.adapters.signer.keystore import KeystoreSigner
from backend.ports.signer import KeyRole
from tests.backend.cli.conftest import Answer, several_in
from tests.backend.governance.dao_chain import ONE, SHARE, deployed
from tests.ports.conftest import node

__all__ = ["node"]

DELAY = ["--call", "RefiTimelock updateDelay 172800", "--text", "Wait for two days"]


# Every block comes this long after the one before: a vote opens after 1 h, lasts for 72 h, and waits for another 24.
BLOCK_TIME = timedelta(hours=25)
WRONG: Mapping[str, tuple[list[str], int, str]] = {
    "support": (["gov", "vote", "latest", "perhaps"], 2, "choose one of"),
    "number": (["gov", "show", "12"], 2, "digits of its number"),
    "no such number": (["gov", "show", "000000"], 2, "choose one of"),
    "no call": (["gov", "propose", "--text", "x"], 2, "--registrations"),
    "no text": (["gov", "propose", "--call", "RefiToken 0x00"], 2, "--text"),
    "no contract": (["gov", "propose", "--call", "Nothing f 1", "--text", "x"], 2, "RefiGovernor, RefiTimelock"),
    "no function": (["gov", "propose", "--call", "RefiTimelock f 1", "--text", "x"], 2, "updateDelay(uint256)"),
    "no argument": (["gov", "propose", "--call", "RefiTimelock updateDelay x", "--text", "x"], 2, "an integer"),
    "both hands": (["gov", "queue", "1234", "--wallet", "x", "--unsigned", "0x" + "11" * 20], 2, "choose one"),
    "nobody": (["gov", "delegate", "0x" + "00" * 20], 2, "count for nothing"),
    "no key": (["gov", "delegate", "0x" + "11" * 20, "--wallet", "/nowhere"], 2, "cannot be read"),
    "no votes": (["gov", "propose", *DELAY], 1, "GovernorInsufficientProposerVotes"),
    "nobody's stake": (["gov", "stake", "1"], 2, "--wallet FILE"),
    "nothing to stake": (["gov", "stake", "0.0", "--unsigned", "0x" + "11" * 20], 2, "above 0"),
    "more than there is": (["gov", "stake", "1", "--unsigned", "0x" + "11" * 20], 2, "holds 0"),
    "mistyped": (["gov", "delegate", "0x52908400098527886E0F7030069857D2E4169Ee7"], 2, "mistyped"),
    "no model": (["agent", "promote", "nowhere"], 2, "64 hex digits"),
    "no file": (["agent", "promote", "tests"], 2, "card.json"),
    "a stranger's model": (["gov", "revoke-model", "ab" * 32], 1, "WrongState"),
}


class Told:
    """What each verb answered, by its name."""

    def __init__(self, answers: Mapping[str, Answer], addresses: Mapping[str, str], models: Sequence[str]) -> None:
        self.answers = answers
        self.addresses = addresses
        self.models = models

    def said(self, name: str) -> Any:
        """Return the JSON of a verb that succeeded."""
        answer = self.answers[name]
        assert answer.code == 0, f"{name}: {answer.err}"
        return json.loads(answer.out)


def written(folder: Path, seed: int) -> str:
    """Write a small model with every file of a submission; return its hash."""
    folder.mkdir()
    inputs = len(FEATURE_SCHEMA)
    network, normaliser = QNetwork([inputs, 4, len(ACTIONS)]), Normaliser(np.zeros(inputs), np.ones(inputs))
    with torch.no_grad():
        cast("torch.nn.Linear", network.layers[-1]).bias.add_(float(seed))
    for name in ("card", "report"):
        (folder / f"{name}.json").write_text("{}")
    return save_model(Model(network, normaliser, FEATURE_SCHEMA, ACTIONS), folder)


@pytest.fixture(scope="module")
def told(node: str, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Run every verb once, in one process, on a DAO whose guardian is the operator's key."""
    place = tmp_path_factory.mktemp("desk")
    state, first, second = place / "state", place / "first", place / "second"
    folder = state / "deployments" / "local"
    folder.mkdir(parents=True)
    signer = KeystoreSigner(state / "keys", "", local_chain=True)
    dao = deployed(node, folder, signer.address(KeyRole.OPERATOR))
    models = [written(first, 1), written(second, 2)]
    key = {}
    for name, wallet in dao.wallets.items():
        (state / f"{name}.key").write_text(wallet.key.hex())
        (state / f"{name}.key").chmod(0o600)
        key[name] = ["--wallet", str(state / f"{name}.key")]
    whale, other = dao.address("whale"), dao.address("second")
    # Something that mines a block: time passes.
    later = ["gov", "delegate", whale, *key["trader"]]
    verbs: dict[str, list[str]] = {
        "upgrade": ["db", "upgrade"],
        "no proposals": ["gov", "list"],
        "none is the latest": ["gov", "show", "latest"],
        "delegate": ["gov", "delegate", whale, *key["whale"], "--json"],
        "delegate second": ["gov", "delegate", other, *key["second"]],
        "promote": ["agent", "promote", str(first), *key["whale"], "--json"],
        "pending": ["gov", "list"],
        "later 1": later,
        "vote": ["gov", "vote", "latest", "for", "--reason", "fine\x1b[2J", *key["whale"], "--json"],
        "later 2": later,
        "queue": ["gov", "queue", "latest", "--json"],
        "waiting": ["gov", "show", "latest"],
        "later 3": later,
        "execute": ["gov", "execute", "latest", "--json"],
        "in production": ["gov", "models", "--json"],
        "revoke": ["gov", "revoke-model", models[0], "--json"],
        "revoked": ["gov", "models"],
        "promote without votes": ["agent", "promote", str(second), "--json"],
        "promote again": ["agent", "promote", models[1], "--unsigned", other, "--json"],
        "propose": ["gov", "propose", *DELAY, *key["second"], "--json"],
        "proposed": ["gov", "list", "--json"],
        "cancel as a stranger": ["gov", "cancel", "latest", *key["stranger"]],
        "cancel": ["gov", "cancel", "latest"],
        "cancelled": ["gov", "show", "latest", "--json"],
        "unsigned": ["gov", "propose", *DELAY, "--unsigned", whale, "--json"],
        "power": ["gov", "power", whale, "--json"],
        "tiers": ["gov", "tiers"],
        "stake for another to sign": ["gov", "stake", "1000.5", "--unsigned", other, "--json"],
        "stake": ["gov", "stake", "1000.5", *key["second"]],
        "staked": ["gov", "stake-status", other],
        "staked power": ["gov", "power", other, "--json"],
        "unstake": ["gov", "unstake", "0.5", *key["second"], "--json"],
        "asked back": ["gov", "stake-status", other, "--json"],
        "withdraw": ["gov", "withdraw", *key["second"]],
        "power in words": ["gov", "power", dao.address("stranger")],
        "params": ["gov", "params", "--json"],
        "params in words": ["gov", "params"],
    }
    verbs |= {name: wrong[0] for name, wrong in WRONG.items()}
    dao.local.rpc("anvil_setBlockTimestampInterval", int(BLOCK_TIME.total_seconds()))
    try:
        answers = several_in(state, list(verbs.values()), rpc_url=node)
    finally:
        dao.local.rpc("anvil_removeBlockTimestampInterval")
    addresses = {name: dao.address(name) for name in dao.wallets}
    addresses["governor"] = dao.local.addresses["RefiGovernor"].lower()
    return Told(dict(zip(verbs, answers, strict=True)), addresses, models)


def test_a_model_is_promoted_by_the_command_line(told: Told) -> None:
    promoted, voted = told.said("promote"), told.said("vote")
    assert (promoted["model"], promoted["proposal_state"]) == (told.models[0], None)
    assert promoted["tx_hash"].startswith("0x")
    assert (voted["proposal_id"], voted["support"]) == (promoted["proposal_id"], "for")
    assert f"Promote model {told.models[0]}" in told.answers["pending"].out
    assert told.said("queue")["proposal_id"] == told.said("execute")["proposal_id"] == promoted["proposal_id"]
    assert [model["state"] for model in told.said("in production")] == ["production"]


def test_a_waiting_proposal_shows_its_payload_its_quorum_and_the_timelock(told: Told) -> None:
    waiting = told.answers["waiting"]
    assert waiting.code == 0, waiting.err
    for part in (
        "state      queued",
        "text matches the payload: yes",
        "for 50,000, against 0, abstain 0",
        "quorum     [####################] 125 % of 40,000",
        "timelock   [",
        "1. ModelRegistry.approve",
        f"modelHash bytes32 = 0x{told.models[0]}",
        "fine?[2J",
    ):
        assert part in waiting.out
    assert "\x1b" not in waiting.out


def test_the_guardian_revokes_by_the_command_line(told: Told) -> None:
    assert told.said("revoke")["model"] == told.models[0]
    assert [model["state"] for model in told.said("revoked")] == ["revoked"]


def test_an_operator_without_votes_gets_what_a_voter_signs(told: Told) -> None:
    printed, bound = told.said("promote without votes"), told.said("promote again")
    assert printed["transaction"]["from"] is None
    assert printed["transaction"]["to"] == told.addresses["governor"]
    assert printed["transaction"]["data"][2:10] == keccak(text="propose(address[],uint256[],bytes[],string)")[:4].hex()
    assert bound["model"] == printed["model"]
    assert bound["transaction"]["from"] == told.addresses["second"]
    assert bound["proposal"]["description"].lower().endswith(f"#proposer={told.addresses['second']}")


def test_any_call_is_proposed_shown_and_cancelled_by_the_guardian(told: Told) -> None:
    found = told.said("proposed")[0]
    assert found["proposal_id"] == told.said("propose")["proposal_id"]
    assert (found["state"], found["text_matches"]) == ("pending", True)
    assert found["calls"][0]["function"] == "updateDelay(uint256)"
    assert found["calls"][0]["arguments"] == [{"name": "newDelay", "type": "uint256", "value": "172800"}]
    assert told.answers["cancel as a stranger"].is_one_line(1, "GovernorUnableToCancel")
    assert told.answers["cancel"].code == 0
    assert told.said("cancelled")["state"] == "canceled"


def test_an_unsigned_step_is_a_transaction_for_a_wallet(told: Told) -> None:
    transaction = told.said("unsigned")["transaction"]
    assert set(transaction) == {"to", "data", "value", "chain_id", "from", "gas"}
    assert transaction["from"] == told.addresses["whale"]


def test_parameters_and_power_are_told_in_words_and_in_json(told: Told) -> None:
    power, parameters = told.said("power"), told.said("params")
    assert (power["votes"], power["is_able_to_propose"]) == (SHARE, True)
    assert "nobody: the tokens count for nothing" in told.answers["power in words"].out
    assert (parameters["voting_period"], parameters["clock_mode"]) == (3 * 86_400, "mode=timestamp")
    assert "3 days" in told.answers["params in words"].out


def test_a_wallet_stakes_keeps_its_votes_and_asks_back(told: Told) -> None:
    assert "tier 1   from        1,000 REFI       10 % of the fees" in told.answers["tiers"].out
    assert "waits for 7 days" in told.answers["tiers"].out
    for name in ("stake", "staked", "withdraw"):
        assert told.answers[name].code == (1 if name == "withdraw" else 0), told.answers[name].err
    assert told.answers["stake"].out.startswith("approve, before it: 0x")
    for part in (
        "staked             1,000.5 REFI",
        "tier               1, 10 % of the fees",
        "asked back         nothing",
    ):
        assert part in told.answers["staked"].out
    power = told.said("staked power")
    assert (power["staked"], power["votes"]) == (1_000_500_000_000_000_000_000, SHARE)
    assert [part["step"] for part in told.said("unstake")] == ["requestUnstake"]
    asked = told.said("asked back")
    assert (asked["staked"], asked["pending"], asked["tier"]) == (1_000 * ONE, ONE // 2, 1)
    assert told.answers["withdraw"].is_one_line(1, "NotAvailable")


def test_a_stake_that_is_signed_elsewhere_is_two_transactions(told: Told) -> None:
    approve, stake = told.said("stake for another to sign")
    assert [approve["step"], stake["step"]] == ["approve", "stake"]
    assert approve["transaction"]["gas"] > 0
    assert stake["transaction"]["gas"] is None, "nobody knows it before the first is mined"
    assert {part["transaction"]["from"] for part in (approve, stake)} == {told.addresses["second"]}
    assert approve["transaction"]["chain_id"] == stake["transaction"]["chain_id"]
    assert approve["transaction"]["data"].endswith(f"{1_000_500_000_000_000_000_000:064x}"), "no more than is staked"


def test_where_nothing_was_proposed_that_is_told(told: Told) -> None:
    assert told.answers["no proposals"].out == "no proposal has been made\n"
    assert told.answers["none is the latest"].is_one_line(2, "no proposal has been made")


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_in_one_line_with_what_is_allowed(name: str, told: Told) -> None:
    _, code, text = WRONG[name]
    assert told.answers[name].is_one_line(code, text), told.answers[name]
