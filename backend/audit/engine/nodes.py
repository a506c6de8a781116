"""Where a stored node of the tree is kept: by its in-order number, so that one integer is the whole key."""

MAX_LEVEL = 48


def position(level: int, index: int) -> int:
    """Return the in-order number of the node (level, index): leaves are even, their parents between them."""
    return ((2 * index + 1) << level) - 1
