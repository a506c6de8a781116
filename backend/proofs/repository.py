"""Every query on closed epochs, publications and attestations."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import String, cast, delete, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.canonical import decimal_string, parse_decimal
from backend.kit.db import insert_once
from backend.kit.models import Job
from backend.proofs.engine.kept import (
    Attestation,
    AttestationState,
    ClosedEpoch,
    Link,
    ProvedClaim,
    Publication,
    unword,
    word,
)
from backend.proofs.models import (
    AttestationRow,
    ClosedDayRow,
    EpochRow,
    FailureRow,
    PublicationRow,
    RefusedEpochRow,
)
from backend.proofs.types import Matrix

AGREES, DIFFERS = "agrees", "differs"


async def closed_epoch(session: AsyncSession, account: str, epoch: int) -> ClosedEpoch | None:
    """Return an account's closed epoch."""
    row = await session.scalar(select(EpochRow).where(EpochRow.account == account, EpochRow.epoch == epoch))
    return _epoch(row) if row is not None else None


async def closed_epoch_of(session: AsyncSession, subject: str, epoch: int) -> ClosedEpoch | None:
    """Return a wallet's closed epoch."""
    row = await session.scalar(select(EpochRow).where(EpochRow.subject == subject, EpochRow.epoch == epoch))
    return _epoch(row) if row is not None else None


async def add_epoch(session: AsyncSession, closed: ClosedEpoch) -> None:
    """Store a closed epoch; a second one of the same account and epoch fails the transaction."""
    session.add(
        EpochRow(
            account=closed.account,
            subject=closed.subject,
            epoch=closed.epoch,
            universe_id=word(closed.universe_id),
            positions=list(closed.positions),
            salt=word(closed.salt),
            commitment=word(closed.commitment),
            record_id=closed.record_id,
            record_seq=closed.record_seq,
        )
    )
    await session.flush()


async def keep_refusal(session: AsyncSession, account: str, epoch: int, reason: str) -> bool:
    """Store why an account's epoch cannot be closed; False when the same is known."""
    row = await session.get(RefusedEpochRow, (account, epoch))
    if row is not None and row.reason == reason:
        return False
    if row is None:
        session.add(RefusedEpochRow(account=account, epoch=epoch, reason=reason))
    else:
        row.reason = reason
    await session.flush()
    return True


async def mark_closed(session: AsyncSession, epoch: int) -> None:
    """Note that an epoch was closed."""
    await session.execute(insert_once(session, ClosedDayRow).values(epoch=epoch))


async def newest_closing(session: AsyncSession) -> int | None:
    """Return the newest epoch that was closed."""
    return await session.scalar(select(func.max(ClosedDayRow.epoch)))


async def unattested(
    session: AsyncSession, policy_id: bytes, look_back: int, last: tuple[str, str]
) -> list[ClosedEpoch]:
    """Return each wallet's oldest closed epoch whose returns are published and that a policy says nothing of yet.

    Oldest first, none older than `look_back` days before the newest; those are left out for which a job was queued
    under the key of the last attempt: `last` is what stands before and behind the wallet and the epoch in it.
    """
    newest = await newest_closing(session)
    if newest is None:
        return []
    before, behind = last
    key = literal(before) + EpochRow.subject + literal("/") + cast(EpochRow.epoch, String) + literal(behind)
    oldest = (
        select(EpochRow.subject, func.min(EpochRow.epoch).label("epoch"))
        .join(
            PublicationRow,
            (PublicationRow.universe_id == EpochRow.universe_id) & (PublicationRow.epoch == EpochRow.epoch),
        )
        .outerjoin(
            AttestationRow,
            (AttestationRow.subject == EpochRow.subject)
            & (AttestationRow.epoch == EpochRow.epoch)
            & (AttestationRow.policy_id == word(policy_id))
            & (AttestationRow.state != AttestationState.PROVED),
        )
        .where(
            EpochRow.epoch >= newest - look_back,
            AttestationRow.id.is_(None),
            ~select(Job.id).where(Job.key == key).exists(),
        )
        .group_by(EpochRow.subject)
        .subquery()
    )
    query = select(EpochRow).join(oldest, (oldest.c.subject == EpochRow.subject) & (oldest.c.epoch == EpochRow.epoch))
    return [_epoch(row) for row in await session.scalars(query.order_by(EpochRow.epoch, EpochRow.id))]


async def publication(session: AsyncSession, universe_id: bytes, epoch: int) -> Publication | None:
    """Return a published matrix."""
    row = await session.get(PublicationRow, (word(universe_id), epoch))
    if row is None:
        return None
    matrix = Matrix(unword(row.universe_id), row.epoch, tuple(row.prices), row.packed)
    return Publication(matrix, unword(row.returns_id), row.cid, row.tx_hash)


async def add_publication(session: AsyncSession, published: Publication) -> bool:
    """Store a published matrix; False when it is there already."""
    values = {
        "universe_id": word(published.matrix.universe_id),
        "epoch": published.matrix.epoch,
        "returns_id": word(published.returns_id),
        "cid": published.cid,
        "prices": list(published.matrix.prices),
        "packed": published.matrix.packed,
        "tx_hash": published.tx_hash,
        "second": "",
    }
    insert = insert_once(session, PublicationRow).values(**values).returning(PublicationRow.epoch)
    return await session.scalar(insert) is not None


async def note_published(session: AsyncSession, published: Publication) -> None:
    """Note in which transaction a matrix that the chain had lost was published again; nobody stood by it there yet."""
    await session.execute(
        update(PublicationRow)
        .where(
            PublicationRow.universe_id == word(published.matrix.universe_id),
            PublicationRow.epoch == published.matrix.epoch,
        )
        .values(tx_hash=published.tx_hash, second="")
        .execution_options(synchronize_session=False)
    )


async def first_publication(session: AsyncSession, universe_id: bytes) -> int | None:
    """Return the oldest epoch whose matrix was published."""
    query = select(func.min(PublicationRow.epoch)).where(PublicationRow.universe_id == word(universe_id))
    return await session.scalar(query)


async def publications_since(session: AsyncSession, universe_id: bytes, epoch: int) -> set[int]:
    """Return the epochs from one on whose matrices were published."""
    query = select(PublicationRow.epoch).where(
        PublicationRow.universe_id == word(universe_id), PublicationRow.epoch >= epoch
    )
    return set((await session.scalars(query)).all())


async def without_second(session: AsyncSession, universe_id: bytes) -> list[int]:
    """Return the epochs whose matrices no second publisher agrees with yet, oldest first."""
    query = select(PublicationRow.epoch).where(
        PublicationRow.universe_id == word(universe_id), PublicationRow.second != AGREES
    )
    return list((await session.scalars(query.order_by(PublicationRow.epoch))).all())


async def note_second(session: AsyncSession, universe_id: bytes, epoch: int, found: str) -> bool:
    """Note what a second publisher found of a matrix; False when that is known."""
    noted = await session.scalar(
        update(PublicationRow)
        .where(
            PublicationRow.universe_id == word(universe_id),
            PublicationRow.epoch == epoch,
            PublicationRow.second != found,
        )
        .values(second=found)
        .returning(PublicationRow.epoch)
        .execution_options(synchronize_session=False)
    )
    return noted is not None


async def attestation(session: AsyncSession, subject: str, epoch: int, policy_id: bytes) -> Attestation | None:
    """Return what became of a claim."""
    row = await session.scalar(
        select(AttestationRow)
        .where(
            AttestationRow.subject == subject,
            AttestationRow.epoch == epoch,
            AttestationRow.policy_id == word(policy_id),
        )
        .execution_options(populate_existing=True)
    )
    return _attestation(row) if row is not None else None


async def attestations_of(session: AsyncSession, subject: str, epoch: int) -> list[Attestation]:
    """Return what became of a wallet's claims of an epoch, under every policy."""
    query = (
        select(AttestationRow)
        .where(AttestationRow.subject == subject, AttestationRow.epoch == epoch)
        .order_by(AttestationRow.id)
    )
    return [_attestation(row) for row in await session.scalars(query)]


async def add_attestation(session: AsyncSession, made: Attestation, now: datetime) -> bool:
    """Store a claim; False when there is one for its wallet, epoch and policy."""
    values = {
        "account": made.account,
        "subject": made.subject,
        "epoch": made.epoch,
        "policy_id": word(made.policy_id),
        "state": made.state.value,
        "var": decimal_string(made.var),
        "limit": decimal_string(made.limit),
        "es": _text(made.es),
        "es_limit": _text(made.es_limit),
        "proof": _stored_claim(made.claim) if made.claim is not None else None,
        "tx_hash": made.tx_hash,
        "gas_used": made.gas_used,
        "changed_at": now,
    }
    insert = insert_once(session, AttestationRow).values(**values).returning(AttestationRow.id)
    return await session.scalar(insert) is not None


async def attested_after(session: AsyncSession, subject: str, epoch: int, policy_id: bytes) -> int | None:
    """Return the newest epoch after one that a wallet's chain holds an attestation of."""
    query = select(func.max(AttestationRow.epoch)).where(
        AttestationRow.subject == subject,
        AttestationRow.epoch > epoch,
        AttestationRow.policy_id == word(policy_id),
        AttestationRow.state == AttestationState.ATTESTED,
    )
    return await session.scalar(query)


async def withdraw_attestation(session: AsyncSession, made: Attestation, now: datetime) -> None:
    """Note that the chain lost an attestation: only its proof is left."""
    await session.execute(
        update(AttestationRow)
        .where(
            AttestationRow.subject == made.subject,
            AttestationRow.epoch == made.epoch,
            AttestationRow.policy_id == word(made.policy_id),
            AttestationRow.state == AttestationState.ATTESTED,
            AttestationRow.tx_hash == made.tx_hash,
        )
        .values(state=AttestationState.PROVED.value, tx_hash=None, gas_used=None, changed_at=now)
        .execution_options(synchronize_session=False)
    )


async def drop_proved(session: AsyncSession, subject: str, epoch: int, policy_id: bytes) -> None:
    """Forget a proof that never reached the chain."""
    await session.execute(
        delete(AttestationRow).where(
            AttestationRow.subject == subject,
            AttestationRow.epoch == epoch,
            AttestationRow.policy_id == word(policy_id),
            AttestationRow.state == AttestationState.PROVED,
        )
    )


async def note_failure(
    session: AsyncSession, subject: str, epoch: int, policy_id: bytes, reason: str, now: datetime
) -> None:
    """Keep why the newest attempt came to nothing."""
    key = {"subject": subject, "epoch": epoch, "policy_id": word(policy_id)}
    said = {"reason": reason, "failed_at": now}
    await session.execute(insert_once(session, FailureRow).values(**key, **said))
    await session.execute(
        update(FailureRow)
        .where(FailureRow.subject == subject, FailureRow.epoch == epoch, FailureRow.policy_id == word(policy_id))
        .values(**said)
    )


async def links(session: AsyncSession, subject: str, policy_id: bytes, after: int, limit: int) -> list[Link]:
    """Return a wallet's closed epochs after one, oldest first, each with what became of it under a policy."""
    query = (
        select(EpochRow.epoch, AttestationRow, FailureRow.reason)
        .outerjoin(
            AttestationRow,
            (AttestationRow.subject == EpochRow.subject)
            & (AttestationRow.epoch == EpochRow.epoch)
            & (AttestationRow.policy_id == word(policy_id)),
        )
        .outerjoin(
            FailureRow,
            (FailureRow.subject == EpochRow.subject)
            & (FailureRow.epoch == EpochRow.epoch)
            & (FailureRow.policy_id == word(policy_id)),
        )
        .where(EpochRow.subject == subject, EpochRow.epoch > after)
        .order_by(EpochRow.epoch)
        .limit(limit)
    )
    found = await session.execute(query)
    return [Link(epoch, _attestation(row) if row is not None else None, reason) for epoch, row, reason in found]


async def mark_attested(
    session: AsyncSession, proved: Attestation, tx_hash: str, gas_used: int | None, now: datetime
) -> bool:
    """Note what the chain attested: this very claim, whichever proof is kept by now; True the first time."""
    if proved.claim is None:
        return False
    done = replace(proved, state=AttestationState.ATTESTED, tx_hash=tx_hash, gas_used=gas_used)
    marked = await session.scalar(
        update(AttestationRow)
        .where(
            AttestationRow.subject == proved.subject,
            AttestationRow.epoch == proved.epoch,
            AttestationRow.policy_id == word(proved.policy_id),
            AttestationRow.state == AttestationState.PROVED,
        )
        .values(
            state=done.state.value,
            proof=_stored_claim(proved.claim),
            tx_hash=tx_hash,
            gas_used=gas_used,
            changed_at=now,
        )
        .returning(AttestationRow.id)
        .execution_options(synchronize_session=False)
    )
    return marked is not None or await add_attestation(session, done, now)


def _epoch(row: EpochRow) -> ClosedEpoch:
    return ClosedEpoch(
        account=row.account,
        subject=row.subject,
        epoch=row.epoch,
        universe_id=unword(row.universe_id),
        positions=tuple(row.positions),
        salt=int(row.salt, 16),
        commitment=int(row.commitment, 16),
        record_id=row.record_id,
        record_seq=row.record_seq,
    )


def _attestation(row: AttestationRow) -> Attestation:
    return Attestation(
        account=row.account,
        subject=row.subject,
        epoch=row.epoch,
        policy_id=unword(row.policy_id),
        state=AttestationState(row.state),
        var=parse_decimal(row.var),
        limit=parse_decimal(row.limit),
        es=_decimal(row.es),
        es_limit=_decimal(row.es_limit),
        claim=_claim(row.proof) if row.proof is not None else None,
        tx_hash=row.tx_hash,
        gas_used=row.gas_used,
    )


def _stored_claim(claim: ProvedClaim) -> dict[str, Any]:
    return {
        "attestation_id": word(claim.attestation_id),
        "statement": [word(value) for value in claim.statement],
        "previous": word(claim.previous),
        "log_id": word(claim.log_id),
        "anchor_index": claim.anchor_index,
        "returns_id": word(claim.returns_id),
        "returns_cid": claim.returns_cid,
        "proof": claim.proof.hex(),
        "prove_seconds": decimal_string(claim.prove_seconds),
    }


def _claim(stored: dict[str, Any]) -> ProvedClaim:
    return ProvedClaim(
        attestation_id=unword(stored["attestation_id"]),
        statement=tuple(int(value, 16) for value in stored["statement"]),
        previous=unword(stored["previous"]),
        log_id=unword(stored["log_id"]),
        anchor_index=stored["anchor_index"],
        returns_id=unword(stored["returns_id"]),
        returns_cid=stored["returns_cid"],
        proof=bytes.fromhex(stored["proof"]),
        prove_seconds=Decimal(stored["prove_seconds"]),
    )


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else decimal_string(amount)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else parse_decimal(text)
