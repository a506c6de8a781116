"""The journal that takes records, the sequencer that gives them their index, and the reader that proves them."""

from backend.audit.service.journal import OWN_FIELDS, AuditJournal
from backend.audit.service.reader import LogReader
from backend.audit.service.sequencer import Sequencer, extend

__all__ = ["OWN_FIELDS", "AuditJournal", "LogReader", "Sequencer", "extend"]
