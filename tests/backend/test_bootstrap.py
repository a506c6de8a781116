"""The platform is built from its settings alone: no network, nothing left open."""

import asyncio
import gc
import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backend.accounts.models import Account
from backend.accounts.service import Accounts
from backend.adapters.policy.ace_platform import AcePlatformPolicy
from backend.anchoring.service import AnchorService
from backend.audit.service import LogReader
from backend.bootstrap import (
    CIRCUIT,
    Platform,
    build,
    deployment_plan,
    halting,
    require_var_policy,
    var_limits,
    var_policy_id,
    worker_runtime,
)
from backend.execution.service import ExecutionService
from backend.kernel.errors import Invalid, NotFound, Unavailable
from backend.kit.queue import Jobs
from backend.market.service import MarketService
from backend.migrations import upgrade
from backend.ports.journal import Journal
from backend.ports.signer import KeyRole
from backend.proofs.engine.kept import Attestation, AttestationState
from backend.proofs.service import AttestationService, AttestingJob
from backend.risk.engine.var import usd
from backend.risk.service import KillSwitch
from backend.settings import Settings
from scripts.deploy._plan import OFFICES, Plan
from tests.fakes import FakeChain, FakeClock

ROOT = Path(__file__).resolve().parents[2]
KEYS = ROOT / ".refi" / "zk"
PORT_NOBODY_SERVES = 1
FIRST_DAY = "2016-06-01"


def settings_in(folder: Path, **given: Any) -> Settings:
    """Return settings in a fresh folder with a chain that does not answer."""
    defaults: dict[str, Any] = {
        "state_dir": folder / "state",
        "deployments_dir": folder / "deployments",
        "proving_keys_dir": KEYS,
        "rpc_url": f"http://127.0.0.1:{PORT_NOBODY_SERVES}",
        "first_business_day": FIRST_DAY,
    }
    return Settings(_env_file=None, **defaults | given)


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    """Insist on what `make build` makes."""
    assert (KEYS / CIRCUIT / "counts.json").is_file(), "the proving key is missing: run `make build`"


def test_the_policys_id_names_everything_that_the_policy_pins(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    keys = shutil.copytree(KEYS / CIRCUIT, tmp_path / "zk" / CIRCUIT, ignore=shutil.ignore_patterns("*.key")).parent
    meta = json.loads((keys / CIRCUIT / "meta.json").read_text())
    (keys / CIRCUIT / "meta.json").write_text(json.dumps(meta | {"verification_key_hash": "0x" + "00" * 32}))
    changed = (
        settings_in(tmp_path, deployment="other"),
        settings_in(tmp_path, var_limit_usd="2001"),
        settings_in(tmp_path, es_limit_usd="3001"),
        settings_in(tmp_path, var_limit_usd="3000", es_limit_usd="2000"),
        settings_in(tmp_path, proving_keys_dir=keys),
    )
    ids = {var_policy_id(one) for one in (settings, *changed)}
    assert len(ids) == 1 + len(changed)
    assert var_policy_id(settings_in(tmp_path, fee_rate="0.001")) == var_policy_id(settings)


async def test_a_policy_that_the_chain_does_not_know_is_named_with_its_limits(tmp_path: Path) -> None:
    platform = build(settings_in(tmp_path))
    chain, settings = FakeChain(), platform.settings
    zero = (bytes(32), "0x" + "00" * 20, *(0,) * 10, bytes(32), bytes(32))
    chain.answer("VarAttestor", "policyOf", lambda _policy: zero)
    attestations = AttestationService(
        platform.database, chain, platform.outside.prover, LogReader(), platform.service(AnchorService),
        platform.service(Journal), FakeClock(), circuit=CIRCUIT, constraints=1, policy_id=var_policy_id(settings),
        on_breach=halting(platform.service(Accounts), platform.service(KillSwitch)),
    )  # fmt: skip
    served = replace(platform, services={**platform.services, AttestationService: attestations})
    said = f"knows no VaR policy 0x{var_policy_id(settings).hex()} .* a VaR of 2000 and an ES of 3000 USD"
    with pytest.raises(NotFound, match=said):
        await require_var_policy(served)
    await platform.close()


@pytest.mark.parametrize(
    ("es", "var", "said"),
    [
        (3_001, 1, "expected shortfall above the policy's limit"),
        (1, 2_001, "VaR above the policy's limit"),
        (3_001, 2_001, "VaR and expected shortfall above the policy's limit"),
    ],
)
def test_a_breach_of_either_limit_stops_the_wallets_orders(es: int, var: int, said: str, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    upgrade(settings.database)
    assert asyncio.run(_halts_after(settings, var, es)) == [said]


async def _halts_after(settings: Settings, var: int, es: int) -> list[str]:
    platform = build(settings)
    switch: KillSwitch = platform.service(KillSwitch)
    wallet, limits = "0x" + "5b" * 20, var_limits(settings)
    broken = Attestation(
        account="A" * 43, subject=wallet, epoch=1, policy_id=bytes(32), state=AttestationState.BREACHED,
        var=Decimal(var), limit=usd(limits.var), es=Decimal(es), es_limit=usd(limits.es),
        claim=None, tx_hash=None, gas_used=None,
    )  # fmt: skip
    async with platform.database.transaction() as session:
        now = datetime(2016, 6, 1, tzinfo=UTC)
        session.add(Account(id=1, address=wallet, pseudonym="A" * 43, opened_at=now, roles=["trader"]))
        await session.flush()
        await halting(platform.service(Accounts), switch)(session, broken)
        found = [halt.reason for halt in await switch.halts(session, 1)]
    await platform.close()
    return found


async def test_the_platform_is_built_and_closed_without_a_network(tmp_path: Path) -> None:
    platform: Platform = build(settings_in(tmp_path))
    assert platform.service(MarketService).today() == date.fromisoformat(FIRST_DAY)
    assert platform.service(ExecutionService) is platform.service(ExecutionService)
    with pytest.raises(Unavailable):
        await platform.outside.chain.chain_id()
    await platform.close()
    del platform
    gc.collect()


def test_every_service_is_registered_under_its_own_type(tmp_path: Path) -> None:
    platform = build(settings_in(tmp_path))
    concrete = {kind: service for kind, service in platform.services.items() if kind not in {Jobs, Journal}}
    assert all(type(service) is kind for kind, service in concrete.items())
    assert Jobs in platform.services


@pytest.mark.parametrize("day", ["banana", "2016-02-30", "01.06.2016", "1999-01-01"])
def test_a_first_business_day_that_is_no_day_is_refused(day: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=f"REFI_FIRST_BUSINESS_DAY={day} is not a day"):
        build(settings_in(tmp_path, first_business_day=day))


def test_a_queue_without_a_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="REFI_JOBS=celery needs REFI_REDIS_URL"):
        build(settings_in(tmp_path, jobs="celery"))


def test_a_missing_proving_key_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"counts\.json is missing: run `make build`"):
        build(settings_in(tmp_path, proving_keys_dir=tmp_path))


def test_the_deployment_plan_is_one_that_the_deployment_accepts(tmp_path: Path) -> None:
    voters = ["0x" + "ab" * 20]
    settings = settings_in(tmp_path)
    plan = Plan.from_json(json.dumps(deployment_plan(settings, voters)))
    assert plan.voters == tuple(voters)
    assert plan.out == settings.deployment_dir
    assert plan.log is not None
    assert plan.log.origin == settings.origin
    assert plan.universe is not None
    assert (len(plan.universe.instruments), plan.universe.window) == (16, 90)
    [verifier], [policy] = plan.verifiers, plan.var_policies
    assert (verifier.name, verifier.insecure) == ("VarVerifier16x90Es", True)
    assert (policy.policy_id, policy.verifier) == (var_policy_id(settings), verifier.name)
    assert (policy.limit, policy.es_limit) == (2_000 * 10**16, 3_000 * 10**16)
    assert plan.max_daily_volume_usd == settings.max_daily_volume_usd
    plan.refuse_unsafe(settings.chain_id, "0x" + "de" * 20)


def test_every_role_of_the_plan_has_a_key_of_its_own(tmp_path: Path) -> None:
    roles = dict(Plan.from_json(json.dumps(deployment_plan(settings_in(tmp_path), []))).roles)
    # The guardian and the relay are offices of two of them.
    assert (roles.pop("guardian"), roles.pop("relay")) == (roles["operator"], roles["anchorer"])
    for office, holder in OFFICES.items():
        assert roles.pop(office) == roles[holder]
    assert len(set(roles.values())) == len(roles) == len(KeyRole)


@pytest.mark.parametrize(("attest", "served"), [("closed", True), ("asked", False)])
async def test_the_worker_has_closed_epochs_attested_unless_told_otherwise(
    tmp_path: Path, attest: str, served: bool
) -> None:
    settings = settings_in(tmp_path, attest=attest)
    await asyncio.to_thread(upgrade, settings.database)
    async with worker_runtime(settings) as runtime:
        assert any(isinstance(getattr(chore, "__self__", None), AttestingJob) for chore in runtime.chores) is served


async def test_an_ace_platform_is_asked_only_with_its_key_and_chain(tmp_path: Path) -> None:
    given = {"policy": "ace", "ace_api_key": "platform-key", "ace_chain_selector": "5224473277236331295"}
    for missing in ("ace_api_key", "ace_chain_selector"):
        with pytest.raises(Invalid, match="REFI_ACE_API_KEY and REFI_ACE_CHAIN_SELECTOR"):
            build(settings_in(tmp_path, **given | {missing: ""}))
    platform = build(settings_in(tmp_path, **given))
    assert isinstance(platform.outside.policy, AcePlatformPolicy)
    assert "platform-key" not in repr(platform.settings)
    await platform.close()
