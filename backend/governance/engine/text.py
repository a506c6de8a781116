"""A proposal's text: written so that it names every call, and compared with the calls it is to be voted on with.

The governor binds text and calls together by a hash, but nothing makes a text true. Voters read the text.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from backend.governance.engine.proposal import described
from backend.governance.types import ShownCall, TextCheck
from backend.kernel.errors import Invalid

HEADING = "Calls:"
PROPOSER = re.compile(r"#proposer=0x[0-9a-fA-F]{40}")
PROMOTED = re.compile(r"promote model (?:0x)?([0-9a-f]{64})", re.IGNORECASE)
WORDS = re.compile(r"(?<![0-9a-zA-Z])(?:0x)?([0-9a-f]{64})(?![0-9a-zA-Z])", re.IGNORECASE)
NUMBERED = re.compile(r"\d+\. ")
LINKS = {"TorchScript": 0, "evaluation report": 1}
LONGEST_TEXT = 20_000
REGISTRY = "ModelRegistry"
# Where calls of a promotion may differ from "approve, promote": a retired model is approved already.
PROMOTIONS = (["approve", "promote"], ["promote"])


def composed(text: str, calls: Sequence[ShownCall], proposer: str = "") -> str:
    """Return a proposal's description: the text, every call in words, and who alone may propose it."""
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise Invalid(f"a proposal's text has 1 to {LONGEST_TEXT} characters")
    if HEADING in text.split("\n") or "#proposer=" in text:
        raise Invalid(f"the lines {HEADING!r} and '#proposer=' are written by the platform")
    if hidden := unprintable(text):
        raise Invalid(f"the text holds characters that do not show: {hidden}")
    lines = [f"{place}. {rendered(call)}" for place, call in enumerate(calls, 1)]
    return described("\n".join((text.strip(), "", HEADING, *lines)), proposer)


def rendered(shown: ShownCall) -> str:
    """Return a call as one line; what is not decoded is shown as it is."""
    call, decoded = shown.call, shown.decoded
    paid = f" with {call.value} wei" if call.value else ""
    if decoded is None:
        return f"{call.target} 0x{call.data.hex()}{paid}"
    arguments = ", ".join(f"{argument.name}: {argument.value}" for argument in decoded.arguments)
    return f"{decoded.contract} at {call.target} {decoded.function}({arguments}){paid}"


def unprintable(text: str) -> str:
    """Return the code points of a text that a reader does not see, or that turn the order of what they see."""
    hidden = sorted({character for character in text if not (character.isprintable() or character in "\n\t")})
    return ", ".join(f"U+{ord(character):04X}" for character in hidden[:8])


def compare(
    description: str, calls: Sequence[ShownCall], registered: Mapping[str, tuple[str, str]] | None = None
) -> TextCheck:
    """Return whether the calls are what the text says.

    registered: TorchScript's and the evaluation report's content id of models, by hash, as ModelRegistry has them.
    """
    lines = PROPOSER.sub("", description).split("\n")
    reasons = [*_listed(lines, calls), *_promoted(description, calls), *_unnamed(description, calls)]
    for digest, known in (registered or {}).items():
        reasons += _linked(lines, digest, known)
    says_something = HEADING in lines or PROMOTED.search(description) is not None
    if not says_something:
        return TextCheck(False if reasons else None, (*reasons, "the text names no calls that can be compared"))
    return TextCheck(not reasons, tuple(reasons))


def models_of(calls: Sequence[ShownCall]) -> list[str]:
    """Return the hashes of the models that calls move, each once."""
    return list(dict.fromkeys(digest for _, digest in _model_calls(calls)))


def _model_calls(calls: Sequence[ShownCall]) -> Iterator[tuple[str, str]]:
    for shown in calls:
        decoded = shown.decoded
        if decoded is not None and decoded.contract == REGISTRY and decoded.arguments:
            for argument in decoded.arguments:
                if argument.type == "bytes32":
                    yield decoded.function, argument.value.removeprefix("0x")
        yield from _model_calls(shown.inner)


def _listed(lines: Sequence[str], calls: Sequence[ShownCall]) -> Iterator[str]:
    if HEADING not in lines:
        return
    if lines.count(HEADING) > 1:
        yield "the text lists calls more than once"
    start = len(lines) - list(reversed(lines)).index(HEADING)
    told = [line for line in lines[start:] if line.strip()]
    actual = [f"{place}. {rendered(call)}" for place, call in enumerate(calls, 1)]
    for place in range(max(len(told), len(actual))):
        says = told[place] if place < len(told) else "nothing"
        does = actual[place] if place < len(actual) else "nothing"
        if says != does:
            yield f"call {place + 1}: the text says {NUMBERED.sub('', says)!r}, the payload {NUMBERED.sub('', does)!r}"


def _promoted(description: str, calls: Sequence[ShownCall]) -> Iterator[str]:
    claimed = [found.lower() for found in dict.fromkeys(PROMOTED.findall(description))]
    moves: dict[str, list[str]] = {}
    for function, digest in _model_calls(calls):
        moves.setdefault(digest, []).append(function)
    for digest in claimed:
        if moves.get(digest) not in PROMOTIONS:
            does = ", ".join(moves.get(digest, [])) or "nothing"
            yield f"the text promotes model {digest}; the payload does {does} with it"
    if not claimed:
        return
    for place, shown in enumerate(calls, 1):
        digests = {digest for _, digest in _model_calls([shown])}
        if not digests or not digests <= set(claimed) or shown.call.value:
            yield f"call {place} is no part of the promotion: {rendered(shown)}"


def _unnamed(description: str, calls: Sequence[ShownCall]) -> Iterator[str]:
    named = {word.lower() for word in WORDS.findall(description)}
    for function, digest in dict.fromkeys(_model_calls(calls)):
        if digest not in named:
            yield f"the payload does {function} with model {digest}, which the text does not name"


def _linked(lines: Sequence[str], digest: str, known: tuple[str, str]) -> Iterator[str]:
    for line in lines:
        what, _, link = line.partition(": ipfs://")
        if what in LINKS and link.strip() != known[LINKS[what]]:
            there = known[LINKS[what]] or "none"
            yield f"the text's {what} {link.strip()} is not the registered one of model {digest}: {there}"
