"""What the watching of the rules needs, and no more: it starts while a platform is still being loaded."""

from dataclasses import dataclass

from backend.audit.service import AuditJournal
from backend.bootstrap.adapters import make_chain, make_clock, make_market_data, make_signer
from backend.compliance.service import RulesWatcher
from backend.kit.db import Database
from backend.market.service import MarketService
from backend.ports.chain import Chain
from backend.settings import Settings


@dataclass(frozen=True, slots=True)
class Watching:
    """A watcher with its chain, its database and the business clock that its records carry."""

    settings: Settings
    watcher: RulesWatcher
    market: MarketService
    database: Database
    chain: Chain

    async def load(self) -> None:
        """Take up the business clock where the database left it."""
        async with self.database.reading() as session:
            await self.market.load(session)

    async def close(self) -> None:
        """Give everything back."""
        await self.chain.close()
        await self.database.close()


def build_watching(settings: Settings) -> Watching:
    """Build the watcher from the settings that a platform is built from."""
    market_data = make_market_data(settings)
    chain, clock = make_chain(settings, make_signer(settings)), make_clock(settings, market_data)
    database, journal = Database(settings.database), AuditJournal(clock)
    watcher = RulesWatcher(database, chain, journal, clock)
    return Watching(settings, watcher, MarketService(market_data, clock, chain, journal), database, chain)
