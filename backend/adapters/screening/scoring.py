"""What stands beside the name: birth date and country, as evidence for or against."""

from datetime import date

from backend.adapters.screening.alike import Likeness
from backend.adapters.screening.entries import Birth, Entry

# Evidence moves a score only where the names are alike to begin with.
ALIKE = 70.0
SAME_DAY, SWAPPED, SAME_YEAR, OTHER_DAY = 8.0, 5.0, 4.0, -4.0
NEAR_YEAR, NEAR_DAY, OTHER_YEAR = 0.0, -8.0, -25.0
SAME_COUNTRY, OTHER_COUNTRY = 2.0, -2.0
WEAK_ALIAS = -10.0


def weighed(name: Likeness, entry: Entry, *, weak: bool, birth: date | int | None, country: str) -> Likeness:
    """Return the score of a name with what is known beside it, 0 to 100, and the reasons in words."""
    score, reasons = name.score, list(name.reasons)
    if weak:
        score += WEAK_ALIAS
        reasons.append("the list calls this alias weak")
    if name.score < ALIKE:
        return Likeness(score, tuple(reasons))
    if birth is not None and entry.births:
        change, why = max((_birth(birth, listed) for listed in entry.births), key=lambda found: found[0])
        score += change
        reasons.append(why)
    if country and entry.countries:
        same = country.upper() in entry.countries
        score += SAME_COUNTRY if same else OTHER_COUNTRY
        reasons.append("the country is the same" if same else "the country differs")
    return Likeness(min(max(score, 0.0), 100.0), tuple(reasons))


def _birth(given: date | int, listed: Birth) -> tuple[float, str]:
    year = given if isinstance(given, int) else given.year
    whole = isinstance(given, date) and listed.day > 0
    if isinstance(given, date) and whole and listed.first == listed.last == year:
        if (given.month, given.day) == (listed.month, listed.day):
            return SAME_DAY, "the birth date is the same"
        if (given.day, given.month) == (listed.month, listed.day):
            return SWAPPED, "the birth date is the same with day and month swapped"
        return OTHER_DAY, "the birth year is the same, the day differs"
    if listed.first <= year <= listed.last:
        return SAME_YEAR, "the birth year is the same"
    if listed.first - 1 <= year <= listed.last + 1:
        return NEAR_DAY if whole else NEAR_YEAR, "the birth year is one off"
    return OTHER_YEAR, "the birth year differs"
