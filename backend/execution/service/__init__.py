"""Sends approved orders to the venue, compares our books with the venue's, rebates fees."""

from backend.execution.engine import order_id_of
from backend.execution.service.orders import ExecutionService
from backend.execution.service.rebates import Rebates
from backend.execution.service.reconciliation import ReconciliationService

__all__ = ["ExecutionService", "Rebates", "ReconciliationService", "order_id_of"]
