"""Sends approved orders to the venue, and compares our books with the venue's."""

from backend.execution.engine import order_id_of
from backend.execution.service.orders import ExecutionService
from backend.execution.service.reconciliation import ReconciliationService

__all__ = ["ExecutionService", "ReconciliationService", "order_id_of"]
