"""`refi up`: a fresh local network with the platform on it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from backend.cli.local import deploy, start_api, start_chain, start_oracle, start_relay, start_watcher
from backend.cli.services import Services, exclusive, refuse_taken
from backend.cli.session import remember
from backend.kernel.clock import close_of
from backend.kernel.errors import Conflict
from backend.settings import Settings

CHAIN_ID = 42069
# The invented list that the tests use is enough to see a case through.
LISTS = (
    "next          nobody is identified without a sanctions list: `refi compliance lists update "
    "--file tests/vectors/screening/opensanctions.json --kind opensanctions-json` takes an invented one in"
)
VOTER = "voter.key"


def voter_in(file: Path) -> str:
    """Make the wallet that holds votes on this network, keep its key for its owner alone, and return its address."""
    from eth_account import Account

    made = Account.create()
    file.touch(mode=0o600)
    file.write_text(made.key.hex())
    return str(made.address)


def start(port: int, rpc_port: int, admin: str) -> Iterator[str]:
    """Start chain, contracts and server; yield what a person wants to know."""
    base = Settings()
    state_dir = (base.state_dir / "up").absolute()
    services = Services(state_dir)
    with exclusive(base.state_dir / "up.run"):
        if running := services.running():
            names = ", ".join(f"{entry.name} at {entry.url}" for entry in running)
            raise Conflict(f"already up: {names}; end it with `refi down`")
        for option, taken in (("--port", port), ("--rpc-port", rpc_port)):
            refuse_taken(taken, option)
        from backend.adapters.market_data.replay import ReplayMarketData
        from backend.bootstrap import deployment_plan

        shutil.rmtree(state_dir, ignore_errors=True)
        state_dir.mkdir(parents=True, mode=0o700)
        voter = voter_in(state_dir / VOTER)
        days = ReplayMarketData().days()
        first = days[len(days) // 2]
        settings: dict[str, object] = {
            "state_dir": state_dir,
            "rpc_url": f"http://127.0.0.1:{rpc_port}",
            "chain_id": CHAIN_ID,
            "deployments_dir": base.deployments_dir.absolute(),
            "network": base.network,
            "proving_keys_dir": base.proving_keys_dir.absolute(),
            "first_admin": admin,
            "first_business_day": first.isoformat(),
            "anchor_interval": str(base.anchor_interval),
            "anchor_leaves": base.anchor_leaves,
        }
        try:
            start_chain(services, CHAIN_ID, int(close_of(first).timestamp()) - 86_400, rpc_port)
            known = Settings(**settings)  # type: ignore[arg-type]
            plan = deployment_plan(known, [voter])
            deploy(str(settings["rpc_url"]), plan, state_dir / "plan.json", lambda _: None)
            remember(state_dir, settings)
            start_api(services, port, settings)
            start_relay(services, settings)
            start_watcher(services, settings)
            start_oracle(services, settings)
        except BaseException:
            services.stop_all()
            raise
    for entry in services.running():
        yield f"{entry.name:<13} {entry.url}"
    yield f"API           http://127.0.0.1:{port}/api/v1/openapi.json"
    yield f"clock         replay, standing at the close of {first}; POST /api/v1/market/clock/advance moves it"
    yield f"voter         {voter} votes in the DAO: `refi gov .. --wallet {state_dir / VOTER}`, see docs/governance.md"
    yield LISTS
    yield "end it with `refi down`"
