"""Every query on compliance receipts."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.compliance.models import ComplianceReceipt


async def add_receipt(session: AsyncSession, sha256: str, json: str) -> int:
    """Store a receipt and return its id."""
    receipt = ComplianceReceipt(sha256=sha256, json=json)
    session.add(receipt)
    await session.flush()
    return receipt.id


async def receipt_json(session: AsyncSession, sha256: str) -> str | None:
    """Return a receipt's canonical JSON by its hash."""
    query = select(ComplianceReceipt.json).where(ComplianceReceipt.sha256 == sha256).limit(1)
    return await session.scalar(query)
