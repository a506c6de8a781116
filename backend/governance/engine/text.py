"""A proposal's text: written so that it names every call, and compared with the calls it is to be voted on with.

The governor binds text and calls together by a hash, but nothing makes a text true. Voters read the text.
"""

import re
import unicodedata
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
# Letters and signs that count as printable and show nothing.
BLANK = frozenset("\u00ad\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
# Letters of these alphabets look like Latin ones; these kinds of Latin letters are no text at all.
ALIKE = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU")
DRESSED = ("FULLWIDTH", "MATHEMATICAL")
WORD = re.compile(r"\w+")
# Where calls of a promotion may differ from "approve, promote": a retired model is approved already.
PROMOTIONS = (["approve", "promote"], ["promote"])


def composed(text: str, calls: Sequence[ShownCall], proposer: str = "") -> str:
    """Return a proposal's description: the text, every call in words, and who alone may propose it."""
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise Invalid(f"a proposal's text has 1 to {LONGEST_TEXT} characters")
    if HEADING in text.split("\n") or "#proposer=" in text:
        raise Invalid(f"the lines {HEADING!r} and '#proposer=' are written by the platform")
    for deceit in _deceits(text):
        raise Invalid(deceit)
    lines = [f"{place}. {rendered(call)}" for place, call in enumerate(calls, 1)]
    return described("\n".join((text.strip(), "", HEADING, *lines)), proposer)


def rendered(shown: ShownCall) -> str:
    """Return a call as one line; what is not decoded is shown as it is."""
    call, decoded = shown.call, shown.decoded
    paid = f" with {call.value} wei" if call.value else ""
    if decoded is None:
        return f"{call.target} 0x{call.data.hex()}{paid}"
    arguments = ", ".join(f"{argument.name}: {argument.value}" for argument in decoded.arguments)
    inner = "; ".join(f"{place}. {rendered(part)}" for place, part in enumerate(shown.inner, 1))
    carried = f" carrying [{inner}]" if inner else ""
    return f"{decoded.contract} at {call.target} {decoded.function}({arguments}){paid}{carried}"


def unprintable(text: str) -> str:
    """Return the code points of a text that a reader does not see, or that turn the order of what they see."""
    return _points(
        {part for part in text if part in BLANK or not (part.isprintable() or part in "\n\t")},
    )


def lookalikes(text: str) -> str:
    """Return the code points of a text that stand in a Latin word, or a hash, and are of another alphabet."""
    found: set[str] = set()
    for word in WORD.findall(text):
        if word.isascii():
            continue
        kinds = {part: unicodedata.name(part, "") for part in word if not part.isascii()}
        has_latin = any(part.isascii() and part.isalnum() for part in word)
        found |= {part for part, kind in kinds.items() if kind.startswith(DRESSED)}
        found |= {part for part, kind in kinds.items() if has_latin and kind.startswith(ALIKE)}
    return _points(found)


def compare(
    description: str, calls: Sequence[ShownCall], registered: Mapping[str, tuple[str, str]] | None = None
) -> TextCheck:
    """Return whether the calls are what the text says.

    registered: TorchScript's and the evaluation report's content id of models, by hash, as ModelRegistry has them.
    """
    lines = PROPOSER.sub("", description).split("\n")
    reasons = [
        *_deceits(description), *_listed(lines, calls), *_promoted(description, calls), *_unnamed(description, calls),
        *_ridden(calls),
    ]  # fmt: skip
    for digest, known in (registered or {}).items():
        reasons += _linked(lines, digest, known)
    says_something = HEADING in lines or PROMOTED.search(description) is not None
    if not says_something:
        return TextCheck(False if reasons else None, (*reasons, "the text names no calls that can be compared"))
    if not reasons and (unread := [call.call.target for call in _all(calls) if call.decoded is None]):
        told = f"the text can name nothing but bytes of the calls to {', '.join(dict.fromkeys(unread))}"
        return TextCheck(None, (told,))
    return TextCheck(not reasons, tuple(reasons))


def models_of(calls: Sequence[ShownCall]) -> list[str]:
    """Return the hashes of the models that calls move, each once."""
    return list(dict.fromkeys(digest for _, digest in _model_calls(calls)))


def _all(calls: Sequence[ShownCall]) -> Iterator[ShownCall]:
    for shown in calls:
        yield shown
        yield from _all(shown.inner)


def _deceits(text: str) -> Iterator[str]:
    if hidden := unprintable(text):
        yield f"the text holds characters that do not show: {hidden}"
    if alike := lookalikes(text):
        yield f"the text holds letters of another alphabet inside words: {alike}"


def _ridden(calls: Sequence[ShownCall]) -> Iterator[str]:
    for shown in _all(calls):
        if shown.decoded is not None and not shown.decoded.is_whole:
            yield f"the data of {shown.decoded.function} is not exactly what its arguments encode to"


def _points(characters: set[str]) -> str:
    return ", ".join(f"U+{ord(character):04X}" for character in sorted(characters)[:8])


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
        moved = list(_model_calls([shown]))
        is_step = len(moved) == 1 and moved[0][0] in PROMOTIONS[0] and moved[0][1] in claimed
        # What carries other calls is never a step: it may carry more than the model's.
        if not is_step or shown.inner or shown.call.value:
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
