"""The platform is built from its settings alone: no network, nothing left open."""

import gc
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from backend.bootstrap import Platform, build, deployment_plan
from backend.execution.service import ExecutionService
from backend.kernel.errors import Invalid, Unavailable
from backend.kit.queue import Jobs
from backend.market.service import MarketService
from backend.ports.journal import Journal
from backend.settings import Settings
from scripts.deploy._plan import Plan

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
    assert (KEYS / "var_16_90" / "counts.json").is_file(), "the proving key is missing: run `make build`"


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
    assert (verifier.name, verifier.insecure, policy.verifier, policy.k) == ("VarVerifier16x90", True, verifier.name, 5)
    assert policy.limit == 2_000 * 10**16
    plan.refuse_unsafe(settings.chain_id, plan.roles["operator"])


def test_every_role_of_the_plan_has_a_key_of_its_own(tmp_path: Path) -> None:
    roles = dict(Plan.from_json(json.dumps(deployment_plan(settings_in(tmp_path), []))).roles)
    # The guardian and the relay are offices of two of them.
    assert (roles.pop("guardian"), roles.pop("relay")) == (roles["operator"], roles["anchorer"])
    assert len(set(roles.values())) == len(roles) == 5
