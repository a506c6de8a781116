"""Every query on compliance receipts."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.compliance.models import ComplianceReceipt
from backend.kit.db import fetch

_ADD = "INSERT INTO compliance_receipts (sha256, json) VALUES (?, ?) RETURNING id"


async def add_receipt(session: AsyncSession, sha256: str, json: str) -> int:
    """Store a receipt and return its id."""
    (row,) = await fetch(session, _ADD, (sha256, json))
    return int(row[0])


async def receipt_json(session: AsyncSession, sha256: str) -> str | None:
    """Return a receipt's canonical JSON by its hash."""
    query = select(ComplianceReceipt.json).where(ComplianceReceipt.sha256 == sha256).limit(1)
    return await session.scalar(query)
