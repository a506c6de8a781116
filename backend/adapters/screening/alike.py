"""How alike two words and two names are, 0 to 1 and 0 to 100, with reasons; the same both ways round."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz.distance import DamerauLevenshtein

from backend.adapters.screening.names import PLAIN_WORDS, Parts, skeleton

VOWELS = frozenset("aeiouy")
LEAST = 0.6
SOUNDS_ALIKE = 0.25
AT_MOST_BY_SOUND = 0.9
MISSING = 4.0
MISSING_AT_MOST = 12.0
MISSING_PLAIN = 5.0
MISSING_WORD = 16.0
OTHER_START = 0.08
# "J Smith" is a whole family; "John M Smith" is one man.
INITIAL_OF_TWO = 18.0
INITIAL_OF_MORE = 5.0
ONE_WORD = 15.0
# "OskarDrenovic" and "Osk ar Dren ovic" hide a name from whoever compares words.
SAME_LETTERS = 95.0
LEAST_LETTERS = 7


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two names are, and why."""

    score: float
    reasons: tuple[str, ...]


@lru_cache(maxsize=400_000)
def word_likeness(one: str, other: str) -> float:
    """Return how alike two words are; 0 where they are different words."""
    if one == other:
        return 1.0
    if one > other:
        return word_likeness(other, one)
    longest = max(len(one), len(other))
    if min(len(one), len(other)) < 2:
        return 0.0
    distance = DamerauLevenshtein.distance(one, other)
    likeness = 1 - distance / longest
    sounds = skeleton(one)
    if len(sounds) >= 3 and sounds == skeleton(other):
        # Scripts that write no vowels leave nothing else to compare.
        if not (VOWELS & set(one) and VOWELS & set(other)):
            return AT_MOST_BY_SOUND
        return max(likeness, min(AT_MOST_BY_SOUND, likeness + SOUNDS_ALIKE))
    # Few slips happen at a word's first letter.
    likeness -= OTHER_START if one[0] != other[0] else 0.0
    # Two edits in a short word make another word: Omar and Amir.
    return likeness if likeness >= LEAST and (distance == 1 or (distance == 2 and longest >= 8)) else 0.0


def is_initial(one: str, other: str) -> bool:
    """Return whether one word is the first letter of the other."""
    return (len(one) == 1) != (len(other) == 1) and one[0] == other[0]


def paired(one: Parts, other: Parts) -> tuple[list[tuple[int, int, float]], list[tuple[int, int]]]:
    """Return which words of two names belong together, best first, and initials that stand for a word."""
    found = [
        (-alike, i, j)
        for i, word in enumerate(one)
        for j, against in enumerate(other)
        if (alike := word_likeness(word, against)) > 0
    ]
    # Ties by the words themselves, so that the order of the names' parts decides nothing.
    found.sort(key=lambda pair: (pair[0], *sorted((one[pair[1]], other[pair[2]]))))
    left, right, pairs = set(range(len(one))), set(range(len(other))), []
    for negative, i, j in found:
        if i in left and j in right:
            left.remove(i)
            right.remove(j)
            pairs.append((i, j, -negative))
    initials = []
    for i in sorted(left, key=lambda place: one[place]):
        match = next((j for j in sorted(right, key=lambda place: other[place]) if is_initial(one[i], other[j])), None)
        if match is not None:
            right.remove(match)
            initials.append((i, match))
    return pairs, initials


def person_likeness(one: Parts, other: Parts) -> Likeness:
    """Return how alike two people's names are: what only one of them lacks counts little, what differs counts much."""
    pairs, initials = paired(one, other)
    if not pairs:
        return Likeness(0.0, ())
    shorter = min(len(one), len(other))
    missing = max(len(one), len(other)) - shorter
    spread = sum(alike for _i, _j, alike in pairs) + len(initials)
    score = 100 * spread / shorter
    reasons = [_told(sum(alike == 1 for *_, alike in pairs), len(pairs), shorter)]
    if initials:
        score -= len(initials) * (INITIAL_OF_TWO if len(pairs) < 2 else INITIAL_OF_MORE)
        reasons.append("an initial stands for a name")
    if missing:
        score -= min(missing * MISSING, MISSING_AT_MOST)
        reasons.append(f"{missing} parts stand on one side only")
    if shorter == 1:
        # One word against several says next to nothing; against one word it says less than a whole name.
        score = score - ONE_WORD if missing == 0 else min(score, 100 * 0.5)
        reasons.append("a name of one word")
    return Likeness(max(score, 0.0), tuple(reasons))


def organisation_likeness(one: Parts, other: Parts) -> Likeness:
    """Return how alike two organisations' names are; words that many share count half, joined spelling counts too."""
    pairs, _initials = paired(one, other)
    if not pairs:
        return Likeness(0.0, ())
    together = sum(_weight(one[i], other[j]) * alike for i, j, alike in pairs)
    least = min(sum(map(_weight, one)), sum(map(_weight, other)))
    left = [word for i, word in enumerate(one) if i not in {pair[0] for pair in pairs}]
    right = [word for j, word in enumerate(other) if j not in {pair[1] for pair in pairs}]
    missing = abs(len(left) - len(right))
    longer = max((left, right), key=len)
    plain = sum(word in PLAIN_WORDS for word in longer)
    score = 100 * min(together / least, 1.0)
    score -= min(missing, plain) * MISSING_PLAIN + max(missing - plain, 0) * MISSING_WORD
    if not any(word not in PLAIN_WORDS for i, _j, _alike in pairs for word in (one[i],)):
        score = min(score, 100.0 if sorted(one) == sorted(other) else 50.0)
    reasons = [_told(sum(alike == 1 for *_, alike in pairs), len(pairs), min(len(one), len(other)))]
    if missing:
        reasons.append(f"{missing} words stand on one side only")
    return Likeness(max(score, 0.0), tuple(reasons))


def same_letters(one: Parts, other: Parts) -> Likeness:
    """Return that two names have the same letters where only the gaps between their words differ."""
    if wholes(one) & wholes(other):
        return Likeness(SAME_LETTERS, ("the same letters, with other gaps between them",))
    return Likeness(0.0, ())


def same_letters_of_person(one: Parts, other: Parts) -> Likeness:
    """Return the same of people, of whom one may leave out what stands between the first and the last name."""
    if wholes(one) & outer(other) or outer(one) & wholes(other):
        return Likeness(SAME_LETTERS, ("the same letters, with other gaps between them",))
    return same_letters(one, other)


def wholes(parts: Parts) -> frozenset[str]:
    """Return a name as one word, the last part last and first; nothing of one too short to tell."""
    return _long("".join(parts), "".join((*parts[-1:], *parts[:-1])))


def outer(parts: Parts) -> frozenset[str]:
    """Return the first and last of several parts as one word, in both orders."""
    return _long(parts[0] + parts[-1], parts[-1] + parts[0]) if len(parts) > 2 else frozenset()


def _long(*words: str) -> frozenset[str]:
    return frozenset(word for word in words if len(word) >= LEAST_LETTERS)


def _weight(*words: str) -> float:
    return 0.5 if any(word in PLAIN_WORDS for word in words) else 1.0


def _told(equal: int, alike: int, of: int) -> str:
    return f"{equal} of {of} parts equal" + (f", {alike - equal} alike" if alike > equal else "")


def best(likenesses: Sequence[Likeness]) -> Likeness:
    """Return the highest; the first of equals."""
    return max(likenesses, key=lambda found: found.score, default=Likeness(0.0, ()))
