"""What the worker runs for the log."""

from backend.audit.service import Sequencer


async def integrate(sequencer: Sequencer) -> int:
    """Bring every durable record into the log and return how many there were."""
    return await sequencer.integrate()
