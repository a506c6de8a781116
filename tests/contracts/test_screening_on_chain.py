"""A wallet on a list is refused by the real contracts, and the watcher sees that it was listed."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from backend.accounts.models import Account
from backend.adapters.policy.engine import EnginePolicy
from backend.adapters.screening.list_files import ListFiles
from backend.compliance.types import CredentialType
from backend.ports.policy import OrderCheck
from backend.ports.screening import ListFormat
from backend.ports.signer import KeyRole
from backend.screening.service import (
    AccountWallets,
    ScreeningLists,
    ScreeningReviews,
    ScreeningService,
    ScreeningSweep,
    WalletBlocks,
)
from backend.screening.types import Decision
from tests.backend.screening.room import FINGERPRINTS, REVIEWER, entity
from tests.contracts.gate_world import GateWorld, gate_chain, gate_world, local_chain, node
from tests.contracts.test_watcher_on_chain import issuing, wallet

__all__ = ["gate_chain", "gate_world", "local_chain", "node"]


async def never() -> bool:
    return False


async def nothing(_done: float) -> None:
    return None


async def test_a_wallet_on_a_list_trades_no_more_and_the_watcher_sees_why(
    gate_world: GateWorld, tmp_path: Path
) -> None:
    world, address = gate_world, wallet()
    adapter = ListFiles(tmp_path / "kept")
    lists = ScreeningLists(world.database, adapter, world.journal, world.clock, timedelta(days=7))
    screening = ScreeningService(world.database, adapter, lists, world.journal, world.clock, FINGERPRINTS)
    blocks = WalletBlocks(world.database, world.chain, world.journal)
    sweep = ScreeningSweep(world.database, lists, screening, [AccountWallets()], blocks, world.clock)
    async with world.database.transaction() as session:
        opened = datetime(2016, 1, 1, tzinfo=UTC)
        session.add(Account(address=address, pseudonym="p1", opened_at=opened, roles=[]))
    await issuing(world).issue(world.database, address, CredentialType.KYC, None, actor="operator")
    policy = EnginePolicy(world.chain, world.local.signer.address(KeyRole.ANCHORER))
    order, watcher = OrderCheck(address, "AAPL", Decimal(1), None), world.watcher()
    assert (await policy.check(order)).allowed
    version = (await watcher.poll()).version

    file = tmp_path / "list.json"
    file.write_text(json.dumps(entity("thief", "Tamriko Velshvili", wallet=address)) + "\n")
    loaded = (await lists.update(file, ListFormat.OPENSANCTIONS_JSON, actor="operator")).loaded
    await sweep.run(nothing, never)
    await sweep.run_once()
    refused = await policy.check(order)
    assert (refused.allowed, refused.policy, refused.reason) == (False, "SanctionsPolicy", "account is sanctioned")
    assert bytes(await world.chain.call("SanctionsPolicy", "listedOf", address)).hex() == loaded.version
    polled = await watcher.poll()
    assert (polled.version, polled.changes) == (version + 1, ("SanctionsPolicy.Listed",))

    async with world.database.transaction() as session:
        await ScreeningReviews(world.journal, world.clock).resolve(
            session, 1, Decision.CLEARED, "another one", caller=REVIEWER, actor="reviewer"
        )
    await sweep.run_once()
    assert (await policy.check(order)).allowed
    assert (await watcher.poll()).changes == ("SanctionsPolicy.Unlisted",)
