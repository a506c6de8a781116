"""An organisation's further wallets: named by a signatory, willing by their own sign-in, one identity on chain."""

from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller
from backend.kernel.errors import Conflict, Forbidden, NotFound
from backend.onboarding import repository
from backend.onboarding.models import OnboardingCase, OnboardingMember
from backend.onboarding.service.ledger import CaseLedger
from backend.onboarding.types import CaseState, Member, MemberState
from backend.ports.identity_provider import CaseKind

MAX_MEMBERS = 50


class Organisations:
    """Wallets under one organisation's identity; the caller owns the transaction."""

    def __init__(self, ledger: CaseLedger) -> None:
        self._ledger = ledger

    async def invite(self, session: AsyncSession, caller: Caller, address: str, *, signatory: bool) -> Member:
        """Name a further wallet of the caller's organisation; it counts once that wallet accepts."""
        row, wallet = await self._represented(session, caller), address.lower()
        if wallet == row.address or await repository.open_case_of_wallet(session, wallet) is not None:
            raise Conflict("this wallet has a case of its own")
        if len(await repository.members_of(session, row.id)) >= MAX_MEMBERS:
            raise Conflict(f"an organisation names at most {MAX_MEMBERS} wallets")
        if not await repository.add_member(session, wallet, row.id, signatory):
            raise Conflict("this wallet is invited already, or an organisation's")
        await self._ledger.record_member(session, row, "onboarding.member_invited", wallet, caller.pseudonym)
        return Member(wallet, signatory, MemberState.INVITED)

    async def accept(self, session: AsyncSession, caller: Caller, case_id: int) -> Member:
        """Take an invitation up; the caller's wallet is put under the organisation's identity on chain."""
        row = await repository.lock_case(session, case_id)
        member = await repository.lock_member(session, caller.address)
        if row is None or member is None or member.case_id != case_id:
            raise NotFound("this wallet is not invited")
        if member.state != MemberState.INVITED or row.state != CaseState.APPROVED:
            raise Conflict(f"the wallet is {member.state}, the organisation's case {row.state}")
        if await repository.open_case_of_wallet(session, caller.address) is not None:
            raise Conflict("this wallet has a case of its own")
        member.state = MemberState.ACCEPTED.value
        await session.flush()
        await self._ledger.record_member(session, row, "onboarding.member_accepted", caller.address, caller.pseudonym)
        return _member(member)

    async def remove(self, session: AsyncSession, caller: Caller, address: str) -> None:
        """Take a wallet out: a signatory any, a wallet itself; its identity on chain goes soon after."""
        member = await repository.member(session, address.lower())
        if member is None:
            raise NotFound("no such wallet in an organisation")
        row = await repository.lock_case(session, member.case_id)
        if row is None:
            raise NotFound("no such wallet in an organisation")
        if member.address != caller.address and (await self._represented(session, caller)).id != row.id:
            raise NotFound("no such wallet in an organisation")
        member.state = MemberState.LEAVING.value
        row.retry_at = None
        await session.flush()
        await self._ledger.record_member(session, row, "onboarding.member_leaving", member.address, caller.pseudonym)

    @staticmethod
    async def holds(session: AsyncSession, case_id: int, address: str) -> bool:
        """Return whether a wallet is, or is invited to be, one of a case's organisation."""
        member = await repository.member(session, address)
        return member is not None and member.case_id == case_id

    async def _represented(self, session: AsyncSession, caller: Caller) -> OnboardingCase:
        """Return the approved organisation that the caller may speak for, locked."""
        row = await repository.lock_open_case(session, caller.account_id)
        if row is None:
            member = await repository.member(session, caller.address)
            if member is not None and member.signatory and member.state == MemberState.REGISTERED:
                row = await repository.lock_case(session, member.case_id)
        if row is None or row.kind != CaseKind.ORGANISATION:
            raise Forbidden("this needs a signatory of an organisation")
        if row.state != CaseState.APPROVED:
            raise Conflict(f"the organisation's case is {row.state}")
        return row


def _member(row: OnboardingMember) -> Member:
    return Member(row.address, row.signatory, MemberState(row.state))
