"""Progressive caps: what an account may hold grows with its age on the business clock."""

from datetime import date
from decimal import Decimal

# (days since the account was opened, USD)
CAPS = ((0, Decimal(100)), (3, Decimal(500)), (7, Decimal(5_000)))
REVIEWED_AGE, REVIEWED_CAP = 14, Decimal(50_000)


def cap_of(opened: date, today: date, reviewed: bool) -> Decimal:
    """Return the cap in USD: 100 at once, 500 after 3 days, 5,000 after 7, 50,000 after 14 once reviewed."""
    age = (today - opened).days
    if reviewed and age >= REVIEWED_AGE:
        return REVIEWED_CAP
    return next((cap for days, cap in reversed(CAPS) if age >= days), Decimal(0))
