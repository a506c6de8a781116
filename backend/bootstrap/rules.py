"""What looks after the rules on chain: the watcher, settlements, caps, limits, and where a wallet stands."""

from collections.abc import Mapping

from backend.compliance.service import CapService, RulesWatcher, SettlementService, StandingService, StewardService
from backend.kit.db import Database
from backend.ports.chain import Chain
from backend.ports.clock import Clock
from backend.ports.journal import Journal


def rule_services(database: Database, chain: Chain, journal: Journal, clock: Clock) -> Mapping[type, object]:
    """Return each service by its type."""
    caps = CapService(chain)
    return {
        type(service): service
        for service in (
            caps,
            RulesWatcher(database, chain, journal, clock),
            SettlementService(database, chain, journal),
            StandingService(chain, caps, clock),
            StewardService(chain, journal),
        )
    }
