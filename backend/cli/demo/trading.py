"""The demo's trading days: the agent's orders through every gate, and orders that each gate must refuse."""

from typing import Any

from backend.cli.demo.run import Run, Tell, expect_rule, give_credential, person_order, refusal

REVIEW_AGE_DAYS = 14


def trade(run: Run, tell: Tell) -> str:
    """Replay the days; let the agent trade each, and try what must be refused."""
    operator = run.wallets["operator"]
    counts: dict[str, Any] = {"decisions": 0, "filled": 0, "refused": {"compliance": 0, "risk": 0, "halted": 0}}
    opened = run.eve
    reviewed = False
    for number, day in enumerate(run.replayed):
        operator.post("/market/clock/advance")
        _agent_day(run, counts, number)
        if number == 0:
            _stranger(run, counts)
            _over_cap(run, counts)
            _kill_switch(run, counts)
        if (day - opened).days >= REVIEW_AGE_DAYS and not reviewed:
            operator.post(
                "/risk/reviews", {"address": run.wallets["trader"].address, "note": "two weeks without a breach"}
            )
            _over_var(run, counts)
            _revoked(run, counts)
            # A first anchor on the way: the contract checks that the last one extends it.
            operator.post("/anchors")
            reviewed = True
        tell(f"{day}  {counts['filled']} filled, {sum(counts['refused'].values())} refused")
    run.summary["orders"] = counts
    refused = ", ".join(f"{count} {gate}" for gate, count in counts["refused"].items())
    return f"{counts['decisions']} decisions, {counts['filled']} filled; refused: {refused}"


def _count(counts: dict[str, Any], outcome: dict[str, Any]) -> None:
    counts["decisions"] += 1
    if outcome.get("state") == "filled":
        counts["filled"] += 1
    elif outcome.get("state") == "refused" or "rule" in outcome:
        counts["refused"][outcome["gate"]] += 1


def _agent_day(run: Run, counts: dict[str, Any], number: int) -> None:
    orders = [run.agent_order(instrument) for instrument in run.summary["data"]["instruments"]]
    answer = run.wallets["trader"].post("/orders/batch", {"orders": orders}, key=f"day-{number}")
    for outcome in answer["results"]:
        _count(counts, outcome)


def _attempt(run: Run, who: str, order: dict[str, Any], key: str) -> dict[str, Any]:
    return refusal(lambda: run.wallets[who].post("/orders", order, key=key))


def _quantity(run: Run, instrument: str, notional: int) -> str:
    bar = run.wallets["trader"].get("/market/bars", instrument=instrument, length=1)["bars"][-1]
    return f"{notional / float(bar['close']):.2f}"


def _stranger(run: Run, counts: dict[str, Any]) -> None:
    instrument = run.summary["data"]["instruments"][0]
    problem = _attempt(run, "stranger", person_order(instrument, "buy", "0.5"), "stranger")
    expect_rule(problem, "CredentialValidatorPolicy")
    _count(counts, problem)


def _over_cap(run: Run, counts: dict[str, Any]) -> None:
    instrument = run.summary["data"]["instruments"][0]
    order = person_order(instrument, "buy", _quantity(run, instrument, 400))
    problem = _attempt(run, "trader", order, "over-cap")
    expect_rule(problem, "progressive_cap")
    _count(counts, problem)


def _over_var(run: Run, counts: dict[str, Any]) -> None:
    instrument = run.summary["data"]["instruments"][0]
    order = person_order(instrument, "buy", _quantity(run, instrument, 40_000))
    problem = _attempt(run, "trader", order, "over-var")
    expect_rule(problem, "var_limit")
    _count(counts, problem)


def _revoked(run: Run, counts: dict[str, Any]) -> None:
    operator, trader = run.wallets["operator"], run.wallets["trader"]
    order = person_order(run.summary["data"]["instruments"][0], "buy", "0.1")
    operator.request(
        "DELETE", "/compliance/credentials", params={"address": trader.address, "type": "common.kyc"}, key="revoke"
    )
    problem = _attempt(run, "trader", order, "while-revoked")
    expect_rule(problem, "CredentialValidatorPolicy")
    _count(counts, problem)
    give_credential(run)
    _count(counts, trader.post("/orders", order, key="after-revocation"))


def _kill_switch(run: Run, counts: dict[str, Any]) -> None:
    trader = run.wallets["trader"]
    instrument = run.summary["data"]["instruments"][0]
    order = person_order(instrument, "buy", "0.1")
    halt = trader.post("/halts", {"scope": "account", "reason": "demonstration of the kill switch"}, key="halt")
    problem = _attempt(run, "trader", order, "while-halted")
    expect_rule(problem, "kill_switch")
    _count(counts, problem)
    trader.post(f"/halts/{halt['id']}/review", {"reason": "looked at it"})
    trader.post(f"/halts/{halt['id']}/rearm", {"reason": "demonstration over"})
    _count(counts, trader.post("/orders", order, key="after-rearm"))
