"""The gate in front of risk: the DAO's models only, and only what the on-chain rules allow."""

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller
from backend.compliance.engine import UNAPPROVED, model_state_of, on_paper, receipt_of, sealed, spared, state_in
from backend.compliance.repository import receipts, rules, volumes
from backend.compliance.repository.rules import RulesSeen
from backend.compliance.service.remembered import Remembered
from backend.compliance.types import ClearedDecision, GateTerms, Question, Ruling
from backend.decisions.types import Decision
from backend.kernel.canonical import decimal_string
from backend.kernel.errors import Conflict, NotFound, Unavailable
from backend.kernel.fixed import NOTIONAL_DECIMALS, from_units, round_down, to_units
from backend.kernel.refusal import Refused
from backend.ports.clock import Clock
from backend.ports.governance import Governance, ModelState
from backend.ports.policy import OrderCheck, Policy, Silent, Verdict

log = structlog.get_logger(__name__)

# When a session's transaction last held the row of the rules, which somebody watched.
HELD = "compliance.rules_held"
# The version that a session's transaction read last.
READ = "compliance.rules_read"
SILENCE = (Unavailable, NotFound, Conflict)
NO_ANSWER = Refused("compliance", "policy_unavailable", "the on-chain rules do not answer")
CHANGED = Refused("compliance", "rules_changed", "the on-chain rules changed after they were asked: ask again")


class ComplianceGate:
    """Clears decisions; a part that does not answer keeps the gate closed, but for what the grace lets through."""

    def __init__(
        self,
        policy: Policy,
        governance: Governance,
        price: Callable[[str], Decimal | None],
        clock: Clock,
        terms: GateTerms | None = None,
    ) -> None:
        self._policy = policy
        self._governance = governance
        self._price = price
        self._clock = clock
        self._terms = terms or GateTerms()
        self._remembered = Remembered(clock, self._terms)

    async def clear(
        self, session: AsyncSession, decision: Decision, account: Caller, *, reduces: bool = False
    ) -> ClearedDecision | Refused:
        """Ask whether the account may do this; the verdict is kept whatever it says.

        reduces: the decision sells no more than the account holds.
        """
        seen, cumulative = await self._seen(session, account)
        question = await self._question(decision, account, cumulative, seen)
        if isinstance(question, Refused):
            return question
        ruling = await self._ruling(question.order, account, seen, reduces=reduces)
        if isinstance(ruling, Refused):
            return _with(ruling, **_known(question.order))
        receipt_sha256, text = sealed(receipt_of(ruling.verdict, ruling.word))
        receipt_id = await receipts.add_receipt(session, receipt_sha256, text)
        self._remembered.went(account.account_id, ruling)
        if ruling.word == "refused":
            return _with(
                _refusal(ruling),
                **_known(question.order),
                policy=ruling.verdict.policy,
                compliance_receipt=receipt_sha256,
            )
        return ClearedDecision(
            decision,
            account.account_id,
            account.address,
            question.price,
            question.order.notional,
            receipt_id,
            receipt_sha256,
            ruling.version,
            ruling.word,
            model_state_of(question.order),
        )

    async def ask_ahead(self, session: AsyncSession, decisions: Sequence[Decision], account: Caller) -> list[int]:
        """Ask about orders that follow one another in one call, each as if those before it had passed.

        The verdicts wait for `clear`, which asks anew where its question is another one. Returns the account's
        cumulative volume (USD x 1e6) that each was asked with; raises Unavailable when the rules do not answer.
        """
        seen, cumulative = await self._seen(session, account)
        asked: list[OrderCheck] = []
        starts: list[int] = []
        for decision in decisions:
            starts.append(cumulative)
            question = await self._question(decision, account, cumulative, seen)
            if isinstance(question, Question):
                asked.append(question.order)
                cumulative += to_units(question.order.notional, NOTIONAL_DECIMALS)
        new = [order for order in asked if self._remembered.ruling(order, seen) is None]
        if new and self._remembered.is_watched(seen):
            for order, verdict in zip(new, await self._policy.check_all(new), strict=True):
                self._remembered.keep(order, self._ruled(verdict, seen))
        return starts

    async def judge(
        self, session: AsyncSession, decision: Decision, account: Caller
    ) -> tuple[OrderCheck | None, Ruling | Refused]:
        """Return what the rules say of a decision that nobody has taken; nothing is kept but the verdict, for `clear`.

        Without a question to ask, only the refusal.
        """
        seen, cumulative = await self._seen(session, account)
        question = await self._question(decision, account, cumulative, seen)
        if isinstance(question, Refused):
            return None, question
        return question.order, await self._ruling(question.order, account, seen, reduces=False)

    async def hold(self, session: AsyncSession, cleared: ClearedDecision) -> Refused | None:
        """Return why a verdict counts no more; None: its rules stay as they are until the transaction ends.

        The row of the rules is the last lock that an order takes, after its account's and the kill switches'.
        """
        held = self._looked(session, await rules.hold_rules(session))
        session.info[READ] = held.version
        if self._remembered.is_watched(held):
            session.info[HELD] = self._clock.wall()
        return None if held.version == cleared.rules_version else CHANGED

    async def count(self, session: AsyncSession, cleared: ClearedDecision) -> None:
        """Add an order that the venue got to what its account has traded: it stays counted, whatever becomes of it."""
        units = to_units(cleared.notional, NOTIONAL_DECIMALS)
        await volumes.add_volume(session, cleared.account_id, cleared.subject, units)

    async def traded(self, session: AsyncSession, account_id: int) -> int:
        """Return what an account has traded in all, USD x 1e6."""
        return await volumes.cumulative_of(session, account_id)

    async def rules(self, session: AsyncSession) -> str:
        """Return what identifies the rules in force and their version, for the record."""
        try:
            engine = await self._policy.version()
        except SILENCE:
            return "policy-engine:unavailable"
        version = session.info.get(READ)
        return f"{engine}/{(await rules.rules_seen(session)).version if version is None else version}"

    async def receipt(self, session: AsyncSession, sha256: str) -> Mapping[str, Any]:
        """Return a kept verdict by its hash; raise NotFound."""
        text = await receipts.receipt_json(session, sha256)
        if text is None:
            raise NotFound("no such compliance receipt")
        found: Mapping[str, Any] = json.loads(text)
        return found

    async def judged(self, session: AsyncSession, receipt_sha256: str, model_sha256: str) -> Mapping[str, str]:
        """Return what a record says of the verdict that an order went to the venue with."""
        text = await receipts.receipt_json(session, receipt_sha256)
        receipt: Mapping[str, Any] = {} if text is None else json.loads(text)
        state = state_in(receipt) if model_sha256 else ""
        return {"compliance_verdict": str(receipt.get("verdict", "allowed")), "model_state": state}

    async def _seen(self, session: AsyncSession, account: Caller) -> tuple[RulesSeen, int]:
        """Return the rules' version, and what the account has traded in all (USD x 1e6)."""
        seen, cumulative = await rules.rules_and_volume(session, account.account_id)
        session.info[READ] = seen.version
        return self._looked(session, seen), cumulative

    def _looked(self, session: AsyncSession, seen: RulesSeen) -> RulesSeen:
        # The watcher waits for a transaction that holds the row: that it looked long ago is our own doing. A moment and
        # no more, as a savepoint that is rolled back lets the row go.
        held_at = session.info.get(HELD)
        if held_at is None or seen.seen_at is None or held_at <= seen.seen_at:
            return seen
        return rules.looked(seen, held_at)

    async def _question(
        self, decision: Decision, account: Caller, cumulative: int, seen: RulesSeen
    ) -> Question | Refused:
        price = self._price(decision.instrument)
        if price is None:
            return Refused("compliance", "no_price", f"{decision.instrument} has no price yet")
        notional = round_down(decision.quantity * price, NOTIONAL_DECIMALS)
        traded = from_units(cumulative, NOTIONAL_DECIMALS)
        order = OrderCheck(account.address, decision.instrument, notional, decision.model_sha256, traded)
        if decision.model_sha256 is None:
            return Question(order, price)
        try:
            state = await self._model_state(decision.model_sha256, seen)
        except SILENCE as error:
            log.warning("compliance.unavailable", error=str(error))
            return _with(NO_ANSWER, notional=decimal_string(notional))
        if state is ModelState.PRODUCTION:
            return Question(order, price)
        if self._terms.paper and state is not ModelState.REVOKED:
            return Question(on_paper(order), price)
        reason = f"the model is in state {state.name.lower()}"
        return Refused(
            "compliance",
            "model_not_in_production",
            reason,
            {"notional": decimal_string(notional), "model_state": UNAPPROVED},
        )

    async def _ruling(self, order: OrderCheck, account: Caller, seen: RulesSeen, *, reduces: bool) -> Ruling | Refused:
        if known := self._remembered.ruling(order, seen):
            return known
        try:
            verdict = await self._policy.check(order)
        except SILENCE as error:
            log.warning("compliance.unavailable", error=str(error))
            # A person's only: that a model was not revoked meanwhile cannot be known.
            is_spared = reduces and order.model_sha256 is None and isinstance(error, Silent)
            last = self._remembered.grace(account.account_id, seen) if is_spared else None
            return NO_ANSWER if last is None else self._spared(order, last)
        ruling = self._ruled(verdict, seen)
        self._remembered.keep(order, ruling)
        return ruling

    def _ruled(self, verdict: Verdict, seen: RulesSeen) -> Ruling:
        return Ruling("allowed" if verdict.allowed else "refused", verdict, seen.version, self._clock.wall())

    def _spared(self, order: OrderCheck, last: Ruling) -> Ruling:
        receipt_sha256, _ = sealed(receipt_of(last.verdict, last.word))
        reason = f"the rules do not answer; the account last traded on receipt {receipt_sha256}"
        return spared(last, self._policy.restated(order, last.verdict), reason)

    async def _model_state(self, model_sha256: str, seen: RulesSeen) -> ModelState:
        known = self._remembered.model(model_sha256, seen)
        if known is not None:
            return known
        state = await self._governance.model_state(model_sha256)
        self._remembered.keep_model(model_sha256, state, seen)
        return state


def _known(order: OrderCheck) -> dict[str, str]:
    return {"notional": decimal_string(order.notional), "model_state": model_state_of(order)}


def _with(refused: Refused, **detail: str) -> Refused:
    known = {name: text for name, text in detail.items() if text}
    return Refused(refused.gate, refused.rule, refused.reason, {**refused.detail, **known})


def _refusal(ruling: Ruling) -> Refused:
    verdict = ruling.verdict
    return Refused("compliance", verdict.policy or "policy_engine", verdict.reason or "refused")
