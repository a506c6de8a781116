"""What the worker runs for anchoring."""

from backend.anchoring.service import AnchorService
from backend.anchoring.types import Anchor


async def anchor(service: AnchorService) -> Anchor:
    """Anchor the latest checkpoint and return its anchor."""
    return await service.anchor_now()
