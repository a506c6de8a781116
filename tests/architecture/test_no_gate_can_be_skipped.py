"""The stages chain by their types: each one takes what only the one before it returns."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller
from backend.compliance.service import ComplianceGate
from backend.compliance.types import ClearedDecision
from backend.decisions.service import DecisionService
from backend.decisions.types import Decision
from backend.execution.service import ExecutionService
from backend.execution.types import Fill, InFlight
from backend.kernel.refusal import Refused
from backend.pipeline.stages import Approves, Clears, Decides, Executes, Stages
from backend.risk.service import RiskGate
from backend.risk.types import ApprovedOrder, Portfolio

CHAIN: list[tuple[Callable[..., Any], Callable[..., Any], str, object, object]] = [
    (Decides.decide, DecisionService.decide, "", None, Decision),
    (Clears.clear, ComplianceGate.clear, "decision", Decision, ClearedDecision | Refused),
    (Approves.approve, RiskGate.approve, "cleared", ClearedDecision, ApprovedOrder | Refused),
    (Executes.execute, ExecutionService.execute, "approved", ApprovedOrder, Fill | InFlight | Refused),
]


async def every_way_round(
    stages: Stages,
    session: AsyncSession,
    caller: Caller,
    portfolio: Portfolio,
    decision: Decision,
    cleared: ClearedDecision,
    refused: Refused,
) -> None:
    """Is never run: the type checker must object to every call that skips a gate, or say that an ignore is unused."""
    await stages.risk.approve(session, decision, portfolio)  # type: ignore[arg-type]
    await stages.risk.approve(session, refused, portfolio)  # type: ignore[arg-type]
    await stages.execution.execute(session, cleared)  # type: ignore[arg-type]
    await stages.execution.execute(session, decision)  # type: ignore[arg-type]
    unchecked = await stages.compliance.clear(session, decision, caller)
    await stages.risk.approve(session, unchecked, portfolio)  # type: ignore[arg-type]
    unchecked_order = await stages.risk.approve(session, cleared, portfolio)
    await stages.execution.execute(session, unchecked_order)  # type: ignore[arg-type]


@pytest.mark.parametrize(("room", "service", "parameter", "takes", "returns"), CHAIN)
def test_each_stage_takes_what_only_the_one_before_returns(
    room: Callable[..., Any], service: Callable[..., Any], parameter: str, takes: object, returns: object
) -> None:
    for stage in (room, service):
        hints = get_type_hints(stage)
        assert hints["return"] == returns
        if parameter:
            assert hints[parameter] is takes


def test_every_stage_but_the_first_answers_with_its_token_or_a_refusal() -> None:
    for *_, returns in CHAIN[1:]:
        assert isinstance(returns, UnionType)
        assert Refused in get_args(returns)


def test_the_stages_hold_nothing_that_leads_around_them() -> None:
    assert set(get_type_hints(Stages)) == {"decisions", "compliance", "risk", "execution", "journal", "instruments"}


def test_an_ignore_that_ignores_nothing_fails_the_type_check() -> None:
    settings = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mypy"]
    assert settings["strict"]
    assert "tests" in settings["files"]
    assert settings.get("warn_unused_ignores", True)
