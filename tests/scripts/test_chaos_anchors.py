"""A short run of the chain's faults under the anchor relays."""

import asyncio
from pathlib import Path

from sqlalchemy import update

from backend.anchoring.models import AnchorRow
from backend.anchoring.types import AnchorState
from scripts.chaos.anchors import contend, differences, reorganise, settle, world

SEED = 7


async def test_reorgs_and_a_killed_node_leave_each_leaf_under_one_anchor(tmp_path: Path) -> None:
    said: list[str] = []
    assert not await reorganise(tmp_path, reorgs=4, kills=1, relays=2, seed=SEED, tell=said.append)
    assert "anchors final" in said[-1]


async def test_relays_at_once_under_bad_transactions_leave_no_gap_and_no_double(tmp_path: Path) -> None:
    said: list[str] = []
    assert not await contend(tmp_path, anchors=12, relays=3, seed=SEED, tell=said.append)
    assert "anchors final" in said[-1]


async def test_the_judge_notices_what_is_missing_and_what_was_withdrawn(tmp_path: Path) -> None:
    async with world(tmp_path, SEED, 1) as made:
        await made.grow(3)
        assert not await settle(made)
        for relay in made.relays:
            relay.task.cancel()
        await made.grow(1)
        assert any("leaves are anchored" in line for line in await differences(made))
        async with made.database.transaction() as session:
            await session.execute(update(AnchorRow).values(state=AnchorState.RECORDED.value))
        async with asyncio.timeout(5):
            while not made.broken:  # noqa: ASYNC110 - the watcher is waited for
                await asyncio.sleep(0.02)
    assert "was final" in made.broken[0]
