"""The compliance gate: fails closed, keeps every verdict; credentials are issued, renewed, taken and recorded."""

import asyncio
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from backend.accounts.models import Account
from backend.compliance.service import CredentialService, type_id
from backend.compliance.types import CredentialType
from backend.kernel.canonical import canonical_json
from backend.kernel.errors import Conflict, NotFound, Unavailable
from backend.kernel.keccak import keccak256
from backend.kit.db import Database
from backend.ports.chain import Reverted
from backend.ports.signer import KeyRole
from tests.backend.pipeline.rooms import House
from tests.fakes import FakeChain, FakeJournal

WALLET = "0x" + "AB" * 20
CCID = b"\x07" * 32
UNTIL = datetime(2017, 6, 1, 21, tzinfo=UTC)
KYC = CredentialType.KYC


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path)


async def test_the_verdict_is_kept_word_for_word_under_its_hash(house: House) -> None:
    outcome = await house.person(await house.trader(), "buy", "1")
    assert outcome.order is not None
    named = outcome.order.compliance_receipt
    async with house.session() as session:
        receipt = await house.compliance.receipt(session, named)
        with pytest.raises(NotFound):
            await house.compliance.receipt(session, "0" * 64)
    assert sha256(canonical_json(dict(receipt))).hexdigest() == named
    assert set(receipt) == {
        "engine", "target", "sender", "selector", "calldata_sha256", "block_number", "block_hash", "verdict",
        "policy", "reason", "context",
    }  # fmt: skip
    assert house.journal.records[-1].fields["compliance_receipt"] == named


async def test_a_refusing_verdict_is_kept_too(house: House) -> None:
    stranger = await house.trader()
    house.policy.refuses[stranger.address] = ("VolumePolicy", "amount outside allowed volume limits")
    outcome = await house.person(stranger, "buy", "1")
    assert outcome.refused is not None
    assert outcome.refused.reason == "amount outside allowed volume limits"
    async with house.session() as session:
        receipt = await house.compliance.receipt(session, outcome.refused.detail["compliance_receipt"])
    assert (receipt["verdict"], receipt["policy"]) == ("refused", "VolumePolicy")


async def test_the_rules_are_asked_with_wallet_instrument_and_notional(house: House) -> None:
    trader = await house.trader()
    await house.person(trader, "buy", "1.5")
    asked, close = house.policy.asked[-1], house.close("AAPL")
    assert close is not None
    assert (asked.subject, asked.instrument, asked.model_sha256) == (trader.address, "AAPL", None)
    assert asked.notional == close * 3 / 2


async def test_a_silent_engine_leaves_no_receipt_and_sends_nothing(house: House) -> None:
    house.policy.down = True
    outcome = await house.person(await house.trader(), "buy", "1")
    assert outcome.order is not None
    assert outcome.order.compliance_receipt == ""
    assert not house.broker.seen


def chain_with(ccid: bytes) -> FakeChain:
    chain = FakeChain()
    chain.answer("IdentityRegistry", "getIdentity", lambda _account: ccid)
    for contract, function in (
        ("IdentityRegistry", "registerIdentity"),
        ("CredentialRegistry", "registerCredential"),
        ("CredentialRegistry", "renewCredential"),
        ("CredentialRegistry", "removeCredential"),
    ):
        chain.answer(contract, function, lambda *_arguments: None)
    return chain


async def test_a_new_wallet_gets_a_random_identity_and_its_credential(database: Database) -> None:
    chain, journal = chain_with(bytes(32)), FakeJournal()
    issued = await CredentialService(chain, journal).issue(database, WALLET, KYC, UNTIL, actor="operator")
    (role, _, made, identity), (_, _, registered, credential) = chain.sent
    assert (role, made, registered) == (KeyRole.ISSUER, "registerIdentity", "registerCredential")
    assert identity[1] == WALLET.lower()
    assert identity[0] == credential[0] == bytes.fromhex(issued.ccid[2:])
    assert credential[1:3] == (keccak256(b"common.kyc"), int(UNTIL.timestamp()))
    record = journal.records[-1]
    assert (record.account, record.event, record.actor) == ("system", "credential.issued", "operator")
    assert record.fields["subject"] == WALLET.lower()


async def test_a_wallet_that_has_the_credential_gets_another_end(database: Database) -> None:
    chain = chain_with(CCID)

    def exists(*_arguments: object) -> None:
        raise Reverted("CredentialAlreadyRegistered", (CCID, type_id(KYC)))

    chain.answer("CredentialRegistry", "registerCredential", exists)
    await CredentialService(chain, FakeJournal()).issue(database, WALLET, KYC, None, actor="operator")
    assert [call[2] for call in chain.sent] == ["registerCredential", "renewCredential"]
    assert chain.sent[-1][3] == (CCID, type_id(KYC), 0, b"")


async def test_a_credential_is_taken_and_that_is_recorded(database: Database) -> None:
    chain, journal = chain_with(CCID), FakeJournal()
    await CredentialService(chain, journal).revoke(database, WALLET, KYC, actor="operator")
    assert chain.sent[-1][2:] == ("removeCredential", (CCID, type_id(KYC), b""))
    assert journal.events() == ["credential.revoked"]


async def test_what_a_wallet_does_not_have_cannot_be_taken(database: Database) -> None:
    def missing(*_arguments: object) -> None:
        raise Reverted("CredentialNotFound", (CCID, type_id(KYC)))

    without = chain_with(CCID)
    without.answer("CredentialRegistry", "removeCredential", missing)
    for chain in (chain_with(bytes(32)), without):
        journal = FakeJournal()
        with pytest.raises(NotFound):
            await CredentialService(chain, journal).revoke(database, WALLET, KYC, actor="operator")
        assert not journal.records


async def test_a_chain_that_is_away_issues_and_records_nothing(database: Database) -> None:
    chain, journal = chain_with(CCID), FakeJournal()
    chain.down = True
    with pytest.raises(Unavailable):
        await CredentialService(chain, journal).issue(database, WALLET, KYC, None, actor="operator")
    assert not journal.records


async def test_while_the_chain_is_asked_others_may_write(database: Database) -> None:
    chain = chain_with(CCID)

    class Slow:
        """A chain during whose answers somebody else writes."""

        async def send(self, *call: Any) -> Any:
            """Write, then answer."""
            async with asyncio.timeout(10), database.transaction() as session:
                session.add(Account(address=WALLET, pseudonym="somebody", opened_at=UNTIL, roles=[]))
            return await chain.send(*call)

        def __getattr__(self, name: str) -> Any:
            return getattr(chain, name)

    slow: Any = Slow()
    await CredentialService(slow, FakeJournal()).revoke(database, WALLET, KYC, actor="operator")


async def test_a_wallet_on_a_list_gets_no_credential(database: Database) -> None:
    async def blocked(wallet: str) -> bool:
        return wallet == WALLET.lower()

    chain, journal = chain_with(CCID), FakeJournal()
    with pytest.raises(Conflict, match="on a list"):
        await CredentialService(chain, journal, blocked=blocked).issue(database, WALLET, KYC, None, actor="operator")
    assert not chain.sent
    assert not journal.records
