"""Figures for Prometheus that are read when they are asked for."""

from collections.abc import Mapping

from prometheus_client import Gauge
from sqlalchemy.exc import DBAPIError

from backend.compliance.service import StandingService
from backend.kernel.errors import RefiError
from backend.kit.db import Database

RULES_VERSION = Gauge("refi_rules_version", "Version of the rules on chain")
RULES_BLOCK = Gauge("refi_rules_block", "Block up to which the rules on chain were watched")
RULES_AGE = Gauge("refi_rules_seen_age_seconds", "Time since the last look at the rules on chain; NaN: none")


async def measure(services: Mapping[type, object]) -> None:
    """Set the gauges as the database has it; what cannot be read is not a number."""
    standings, database = services.get(StandingService), services.get(Database)
    RULES_AGE.set(float("nan"))
    if not isinstance(standings, StandingService) or not isinstance(database, Database):
        return
    try:
        async with database.reading() as session:
            watching = await standings.watching(session)
    except (RefiError, DBAPIError, OSError):
        return
    RULES_VERSION.set(watching.version)
    RULES_BLOCK.set(watching.block_number)
    if watching.age is not None:
        RULES_AGE.set(watching.age.total_seconds())
