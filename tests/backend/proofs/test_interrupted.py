"""What is interrupted leaves nothing half done: no process, no row, no second proof."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from backend.adapters.prover.groth16 import Groth16Process
from backend.kit.db import Database
from backend.kit.queue import EmbeddedJobs, JobBoard, JobView
from backend.proofs import repository
from backend.proofs.engine.kept import Attestation, AttestationState
from backend.proofs.service import ATTEST_JOB
from backend.proofs.tasks import STAGES, handlers
from tests.backend.proofs.world import EPOCH, KEY, OWNER, POLICY_ID, World, sends, tx_of

ROOT = Path(__file__).resolve().parents[3]
META = {
    "circuit": KEY.circuit,
    "circuit_hash": KEY.circuit_hash.hex(),
    "verification_key": KEY.verifying_key.hex(),
    "verification_key_hash": KEY.verification_key_hash.hex(),
    "insecure": KEY.insecure,
    "instruments": KEY.instruments,
    "window": KEY.window,
    "k": KEY.k,
    "confidence": str(KEY.confidence),
    "tail": [KEY.tail.numerator, KEY.tail.denominator],
    "expected_shortfall": KEY.expected_shortfall,
    "quantity_bits": KEY.quantity_bits,
    "limit_bits": KEY.limit_bits,
    "pnl_bits": KEY.pnl_bits,
}
# A prover that answers to the protocol of circuits.prover and, until it is let, never gets to an end.
SLOW_PROVER = """
import json, os, pathlib, sys, time
if sys.argv[1] == "key":
    print(json.dumps(json.loads(pathlib.Path("key.json").read_text())))
elif pathlib.Path("quick").exists():
    sys.stdin.read()
    print(json.dumps({"proof": "0x" + bytes(range(256)).hex(), "cpu_seconds": 1.5}))
else:
    print(json.dumps({"progress": "proving"}), flush=True)
    pathlib.Path("pid.new").write_text(str(os.getpid()))
    pathlib.Path("pid.new").rename("pid")
    time.sleep(600)
"""


class Shop:
    """A world whose proofs are made by a process that does not end, and the runner of its jobs."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.folder = folder / "repository"
        package = self.folder / "circuits" / "prover"
        package.mkdir(parents=True)
        (package / "__main__.py").write_text(SLOW_PROVER)
        (self.folder / "key.json").write_text(json.dumps(META))
        self.world = World(database, Groth16Process(self.folder, self.folder))
        self.jobs = EmbeddedJobs(database, handlers(self.world.attestations))

    async def ask(self) -> str:
        """Queue an attestation."""
        payload = {"subject": OWNER.address, "epoch": EPOCH}
        async with self.world.database.transaction() as session:
            return await self.jobs.enqueue(session, ATTEST_JOB, payload, account_id=OWNER.id)

    async def view(self, job_id: str) -> JobView:
        """Look at a job."""
        async with self.world.database.reading() as session:
            return await JobBoard().view(session, job_id)

    async def prover(self) -> int:
        """Return the prover's process id once it is at work."""
        await until((self.folder / "pid").exists)
        return int((self.folder / "pid").read_text())

    async def kept(self) -> Attestation | None:
        """Return what is kept of the claim."""
        async with self.world.database.reading() as session:
            return await repository.attestation(session, OWNER.address, EPOCH, POLICY_ID)


@pytest.fixture
async def shop(database: Database, tmp_path: Path) -> AsyncIterator[Shop]:
    made = Shop(database, tmp_path)
    await made.world.prepare()
    runner = asyncio.create_task(made.jobs.run())
    yield made
    runner.cancel()
    with suppress(asyncio.CancelledError):
        await runner


async def until(reached: Callable[[], bool]) -> None:
    """Wait for something, ten seconds at most."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def gone(pid: int) -> bool:
    """Return whether no process has this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_cancelling_the_job_ends_the_prover_and_leaves_nothing_half_done(shop: Shop) -> None:
    job_id = await shop.ask()
    pid = await shop.prover()
    assert not gone(pid)
    # The job hears of a stage a moment after the prover has begun it.
    async with asyncio.timeout(10):
        while (await shop.view(job_id)).progress < STAGES["proving"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    async with shop.world.database.transaction() as session:
        await JobBoard().cancel(session, job_id)
    await until(lambda: gone(pid))
    ended = await shop.view(job_id)
    assert (ended.state, ended.progress) == ("cancelled", STAGES["proving"])
    assert await shop.kept() is None
    assert sends(shop.world.chain, "attest") == 0
    assert not any(event.startswith("var.") for event, _ in await shop.world.events())


async def test_what_was_cancelled_can_be_asked_for_again(shop: Shop) -> None:
    first = await shop.ask()
    pid = await shop.prover()
    async with shop.world.database.transaction() as session:
        await JobBoard().cancel(session, first)
    await until(lambda: gone(pid))
    (shop.folder / "quick").touch()
    second, job = await shop.ask(), None
    async with asyncio.timeout(10):
        while job is None or job.state in {"queued", "running"}:
            await asyncio.sleep(0.02)
            job = await shop.view(second)
    assert job.state == "done", job.error
    made = await shop.kept()
    assert made is not None
    assert made.state is AttestationState.ATTESTED


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the database of a worker that was killed where it sends its proof."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.backend.proofs.dying", url_in(folder)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    return folder


def url_in(folder: Path) -> str:
    """Return the URL of the database in a folder."""
    return f"sqlite+aiosqlite:///{folder / 'refi.sqlite3'}"


@pytest.mark.parametrize("mined", [False, True], ids=["before it was sent", "before the receipt came"])
async def test_a_worker_that_is_killed_with_a_kept_proof_is_made_good_by_the_next_call(
    mined: bool, left_behind: Path, tmp_path: Path
) -> None:
    database = Database(url_in(shutil.copytree(left_behind, tmp_path / "again")))
    world = World(database)
    # The same chain and the same anchor; only what this process remembers of them is new.
    published = world.returns.matrix(world.market.days()[20])
    async with database.reading() as session:
        proved = await repository.attestation(session, OWNER.address, EPOCH, POLICY_ID)
        publication = await repository.publication(session, published.universe_id, EPOCH)
    assert proved is not None
    assert proved.claim is not None
    assert proved.state is AttestationState.PROVED
    assert publication is not None
    world.contracts.matrices[published.universe_id, EPOCH] = publication.returns_id
    await world.anchor()
    if mined:
        made_on_chain = proved.claim.attestation_id
        world.contracts.attested[OWNER.address, EPOCH, POLICY_ID] = made_on_chain
        world.contracts.latest[OWNER.address, POLICY_ID] = made_on_chain
        world.chain.emit("VarAttestor", "Attested", subject=OWNER.address, epoch=EPOCH, policyId=POLICY_ID)
    made = await world.attest()
    assert made.state is AttestationState.ATTESTED
    assert made.claim == proved.claim
    assert made.tx_hash == tx_of(world.chain)
    assert (sends(world.chain, "attest"), len(world.prover.proved)) == (0 if mined else 1, 0)
    assert [event for event, _ in await world.events()].count("var.attested") == 1
    await database.close()
