"""Proposals as people read them. What strangers wrote is shown, and never obeyed by the terminal."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from backend.governance.schemas import SUPPORTS, readable
from backend.governance.types import Motion, ProposalState, ShownCall

WIDTH = 20
SHORT = 12
TITLE = 96
VOTE = 10**18
LAST_MOMENT = 253_402_300_799
MARKS = {True: "yes", False: "NO", None: "cannot be told: the text does not name what they do"}


def harmless(text: str) -> str:
    """Return text with everything that does not show replaced, lines kept."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)


def bar(percent: int) -> str:
    """Return a bar of a share, full at 100 %."""
    full = min(WIDTH, WIDTH * percent // 100)
    return f"[{'#' * full}{'.' * (WIDTH - full)}] {percent} %"


def votes(amount: int) -> str:
    """Return votes without their 18 decimals, rounded down."""
    return f"{amount // VOTE:,}"


def quorum_percent(motion: Motion) -> int:
    """Return how much of the quorum takes part."""
    tally = motion.tally
    return 100 * (tally.for_ + tally.abstain) // tally.needed if tally.needed else 100


def line(motion: Motion) -> str:
    """Return a proposal as one line."""
    title = harmless(motion.description.split("\n")[0])[:TITLE]
    mark = "  !! the text is not what the payload does" if motion.text.matches is False else ""
    number = str(motion.made.number)[:SHORT]
    return f"{number}  {motion.state.name.lower():<9} quorum {quorum_percent(motion):>4} %  {title}{mark}"


def page(motion: Motion) -> Iterator[str]:
    """Yield a proposal's lines: what to know first, then what it does, then what it says."""
    tally = motion.tally
    yield f"proposal   {motion.made.number}"
    yield f"state      {motion.state.name.lower()}"
    yield f"proposer   {motion.made.proposer}"
    yield f"text matches the payload: {MARKS[motion.text.matches]}"
    for warning in motion.warnings:
        yield f"  !! {harmless(warning)}"
    yield f"votes      for {votes(tally.for_)}, against {votes(tally.against)}, abstain {votes(tally.abstain)}"
    yield f"quorum     {bar(quorum_percent(motion))} of {votes(tally.needed)}"
    yield from _times(motion)
    yield "payload"
    for place, call in enumerate(motion.calls, 1):
        yield from _call(call, f"  {place}.")
    yield "text"
    yield from (f"  | {part}" for part in harmless(motion.description).split("\n"))
    for ballot in motion.ballots:
        support = SUPPORTS[ballot.support] if ballot.support < len(SUPPORTS) else "?"
        reason = harmless(readable(ballot.reason)).replace("\n", " ")
        yield f"vote       {ballot.voter} {support} {votes(ballot.weight)} {reason}".rstrip()


def moment(seconds: int) -> str:
    """Return a moment of the chain's clock."""
    if seconds > LAST_MOMENT:
        return f"{seconds} s after 1970"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def lasting(seconds: int) -> str:
    """Return a time in the largest unit that fits."""
    for name, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {name}"
    return f"{seconds} seconds"


def _times(motion: Motion) -> Iterator[str]:
    timing = motion.timing
    yield f"voting     {moment(timing.opens_at)} to {moment(timing.closes_at)}"
    if timing.is_extended:
        yield f"           kept open by a late quorum; announced was {moment(timing.announced_close)}"
    if motion.state is ProposalState.ACTIVE:
        whole = max(1, timing.closes_at - timing.opens_at)
        yield f"           {bar(max(0, min(100, 100 * (timing.now - timing.opens_at) // whole)))}"
    if timing.eta and motion.state is ProposalState.QUEUED:
        yield f"timelock   {bar(timing.timelock_percent)} until {moment(timing.eta)}"


def _call(shown: ShownCall, place: str) -> Iterator[str]:
    call, decoded = shown.call, shown.decoded
    paid = f" with {call.value} wei" if call.value else ""
    if decoded is None:
        yield f"{place} NOT DECODED {call.target}{paid}"
        yield f"     0x{call.data.hex()}"
        return
    yield f"{place} {decoded.contract}.{decoded.function}{paid}   ({call.target})"
    for argument in decoded.arguments:
        yield f"     {argument.name} {argument.type} = {harmless(argument.value)}"
    for number, inner in enumerate(shown.inner, 1):
        yield from _call(inner, f"  {place}{number}.")


def rows(pairs: Sequence[tuple[str, object]]) -> Iterator[str]:
    """Yield names and values in two columns."""
    for name, value in pairs:
        yield f"{name:<18} {value}"
