"""What the worker runs for screening."""

from collections.abc import Mapping
from typing import Any

from backend.kit.queue import Handler, JobContext
from backend.screening.service import SETTLE_JOB, SWEEP_JOB, ScreeningSweep, WalletBlocks


def handlers(sweep: ScreeningSweep, blocks: WalletBlocks) -> Mapping[str, Handler]:
    """Return the jobs of this domain by name."""

    async def everybody(context: JobContext) -> dict[str, Any]:
        return await sweep.run(context.report, context.cancelled)

    async def settle(context: JobContext) -> dict[str, Any]:
        return {"outcome": (await blocks.settle(context.payload["reference"])).value}

    return {SWEEP_JOB: everybody, SETTLE_JOB: settle}
