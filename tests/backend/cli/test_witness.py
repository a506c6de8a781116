"""Witnesses against real HTTP servers: honest growth, a fork shown to one of two, and logs that misbehave."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.cli.site import Site
from backend.cli.witness import Log, Plan, Round, State, Window, Witness, watch
from backend.kernel.errors import Conflict, Invalid, Unavailable
from backend.kernel.signed_note import VerifierKey, parse_checkpoint, parse_cosigner_key, verify_cosignature
from backend.settings import child_environment
from backend.transparency.engine.witness import Fork, read_evidence, read_note, verifies
from tests.backend.cli.conftest import ROOT, Refi
from tests.backend.cli.logs import KEY, PRIVATE, FakeLog, Served, leaves, problem

Serve = Callable[[FakeLog], Served]
HONEST = leaves(("honest", 60))
OTHER = leaves(("honest", 10), ("other", 50))


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return what serves a log until the test ends."""
    open_servers: list[Served] = []

    def start(log: FakeLog) -> Served:
        open_servers.append(Served(log.answer))
        return open_servers[-1]

    yield start
    for server in open_servers:
        server.end()


class Post:
    """A witness with its window, asked round by round."""

    def __init__(self, folder: Path, api: str) -> None:
        self.state = State(folder)
        self.key = self.state.key("")
        self.window = Window(self.state, ("127.0.0.1", 0))
        self.log = Log(Site(api), pause=lambda _: None)
        self.peers: list[Site] = []
        threading.Thread(target=self.window.serve_forever, args=(0.02,), daemon=True).start()

    def round(self) -> Round:
        return Witness(self.state, KEY, self.key, self.log, self.peers).round()

    def cosigned(self) -> int:
        note = self.state.cosigned()
        verify_cosignature(note, self.key[0], verifies)
        return read_note(note, KEY).size

    def files(self) -> list[Path]:
        return sorted(self.state.folder.glob("split-view-*.json"))


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Callable[[Served], Post]]:
    """Return what sets up a witness of a served log."""
    posts: list[Post] = []

    def make(server: Served) -> Post:
        posts.append(Post(tmp_path / f"w{len(posts)}", server.url))
        return posts[-1]

    yield make
    for one in posts:
        one.window.shutdown()
        one.window.server_close()


Watch = Callable[[Served], Post]


def meet(one: Post, other: Post) -> None:
    one.peers, other.peers = [Site(other.window.url)], [Site(one.window.url)]


def test_honest_growth_is_cosigned_and_never_reported(serve: Serve, post: Watch) -> None:
    log = FakeLog(HONEST[:3])
    server = serve(log)
    one, other = post(server), post(server)
    meet(one, other)
    for size in (3, 4, 4, 9, 16, 17, 60):
        log.tree = HONEST[:size]
        # The other one is always behind: a stale peer is no split view.
        assert one.round() == Round(size, cosigned=True)
        assert one.cosigned() == size
        if size % 2:
            assert other.round() == Round(size, cosigned=True)
    assert not one.files()
    assert not other.files()


def test_a_log_forked_between_two_witnesses_is_reported_by_both(serve: Serve, post: Watch) -> None:
    left, right = FakeLog(HONEST[:12]), FakeLog(OTHER[:15])
    one, other = post(serve(left)), post(serve(right))
    meet(one, other)
    assert one.round() == Round(12, cosigned=True)
    for witness in (other, one):
        looked = witness.round()
        assert looked.code == 1
        assert Fork.NOT_CONSISTENT.value in looked.split_view
        fork, kept, shown = read_evidence(json.loads(Path(looked.evidence).read_text()))
        assert (fork, {kept.size, shown.size}) == (Fork.NOT_CONSISTENT, {12, 15})
    left.tree, right.tree = HONEST[:20], OTHER[:20]
    # While it lasts nothing more is cosigned, and the same evidence is not written again.
    assert [one.round().cosigned, other.round().cosigned, one.cosigned(), other.state.cosigned()] == [
        False,
        False,
        12,
        "",
    ]
    assert len(one.files()) == len(other.files()) == 1


def test_a_split_is_seen_before_it_is_cosigned_and_unproved_notes_are_not_passed_over(
    serve: Serve, post: Watch
) -> None:
    log = FakeLog(OTHER[:15])
    server = serve(log)
    one, other = post(serve(FakeLog(HONEST[:12]))), post(server)
    meet(one, other)
    one.round()
    server.answer = lambda path, query: problem(500, "no") if "proof" in path else log.answer(path, query)
    assert (other.round().code, other.state.cosigned()) == (3, "")
    server.answer = log.answer
    assert (other.round().cosigned, other.state.cosigned()) == (False, "")


def test_two_roots_for_one_size_are_reported_by_both(serve: Serve, post: Watch) -> None:
    one, other = post(serve(FakeLog(HONEST[:20]))), post(serve(FakeLog(OTHER[:20])))
    meet(one, other)
    one.round()
    for witness in (other, one):
        assert Fork.TWO_ROOTS.value in witness.round().split_view


@pytest.mark.parametrize(
    ("tree", "fork"),
    [(OTHER[:20], Fork.TWO_ROOTS), (OTHER[:30], Fork.NOT_CONSISTENT), (HONEST[:19], Fork.SMALLER)],
)
def test_what_does_not_extend_the_kept_tree_is_refused_while_it_lasts(
    tree: list[bytes], fork: Fork, serve: Serve, post: Watch
) -> None:
    log = FakeLog(HONEST[:20])
    witness = post(serve(log))
    witness.round()
    log.tree = tree
    for _ in range(2):
        looked = witness.round()
        assert (looked.code, looked.cosigned, looked.size) == (1, False, 20)
        assert fork.value in looked.split_view
    found, kept, shown = read_evidence(json.loads(witness.files()[0].read_text()))
    assert (found, kept.size, shown.size) == (fork, 20, len(tree))
    assert len(witness.files()) == 1
    log.tree = HONEST[:21]
    assert witness.round() == Round(21, cosigned=True)


def test_a_log_without_a_proof_of_growth_is_refused(serve: Serve, post: Watch) -> None:
    log = FakeLog(HONEST[:20])
    server = serve(log)
    witness = post(server)
    witness.round()
    log.tree = HONEST[:25]
    server.answer = lambda path, query: problem(404, "no") if "proof" in path else log.answer(path, query)
    assert Fork.NOT_CONSISTENT.value in witness.round().split_view


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("endless", "more than 65536 bytes"),
        ("redirecting", "redirects to http://169.254.169.254/latest: redirects are not followed"),
        ("failing", "answers with status 500"),
        ("garbage", "answers with no text"),
        ("empty", "shows no checkpoint of refi.trading/test: not a signed note"),
    ],
)
def test_a_log_that_misbehaves_gets_a_clear_line_and_no_cosignature(
    mode: str, said: str, serve: Serve, post: Watch
) -> None:
    log = FakeLog(HONEST[:20])
    server = serve(log)
    witness = post(server)
    witness.round()
    log.tree, server.mode = HONEST[:30], mode
    looked = witness.round()
    assert (looked.code, looked.cosigned, witness.cosigned()) == (3, False, 20)
    assert said in looked.line()
    server.mode = "honest"
    assert witness.round() == Round(30, cosigned=True)


def test_another_key_or_origin_is_not_followed(serve: Serve, post: Watch) -> None:
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    log = FakeLog(HONEST[:20], private=stranger)
    witness = post(serve(log))
    assert "the signature does not verify" in witness.round().line()
    log.key = VerifierKey("refi.trading/else", PRIVATE.public_key().public_bytes_raw())
    assert "not signed by this key" in witness.round().line()
    assert witness.state.cosigned() == ""


def test_a_peer_that_lies_or_is_down_accuses_nobody(serve: Serve, post: Watch) -> None:
    log = FakeLog(HONEST[:20])
    witness = post(serve(log))
    forger = FakeLog(OTHER[:20], private=Ed25519PrivateKey.from_private_bytes(bytes(32)))
    lying = serve(forger)
    lying.answer = lambda *_: (200, forger.note().encode())
    gone = serve(log)
    gone.end()
    witness.peers = [Site(lying.url), Site(gone.url)]
    looked = witness.round()
    assert (looked.code, looked.cosigned, looked.split_view) == (3, True, "")
    assert len(looked.unreachable) == 2


def test_the_window_shows_the_cosigned_checkpoint_and_nothing_else(serve: Serve, post: Watch) -> None:
    witness = post(serve(FakeLog(HONEST[:20])))
    url = witness.window.url
    assert httpx.get(f"{url}/checkpoint").status_code == 404
    witness.round()
    assert httpx.get(f"{url}/checkpoint").text == witness.state.cosigned()
    assert httpx.get(f"{url}/witness.key").status_code == 404
    assert httpx.post(f"{url}/checkpoint", content=b"x").status_code == 501


def test_a_restart_goes_on_from_what_was_seen(serve: Serve, post: Watch, tmp_path: Path) -> None:
    log = FakeLog(HONEST[:20])
    server = serve(log)
    first = post(server)
    first.round()
    again = Witness(State(first.state.folder), KEY, State(first.state.folder).key(""), first.log)
    log.tree = OTHER[:25]
    assert again.round().code == 1
    log.tree = HONEST[:25]
    assert again.round() == Round(25, cosigned=True)


def test_a_crash_between_seeing_and_cosigning_never_yields_a_second_root(serve: Serve, post: Watch) -> None:
    log = FakeLog(HONEST[:20])
    witness = post(serve(log))

    class Killed(Exception):
        """Stands for a kill at this point."""

    class Dying(State):
        def publish(self, note: str) -> None:
            raise Killed(note)

    with pytest.raises(Killed) as cosigned:
        Witness(Dying(witness.state.folder), KEY, witness.key, witness.log).round()
    assert read_note(str(cosigned.value), KEY).size == 20
    log.tree = OTHER[:20]
    assert Fork.TWO_ROOTS.value in witness.round().split_view
    assert witness.state.cosigned() == ""


def test_a_clock_set_back_takes_no_cosignature_back(serve: Serve, post: Watch) -> None:
    log = FakeLog(HONEST[:20])
    witness = post(serve(log))
    times = []
    for size, now in ((20, 5_000.0), (21, 4_000.0), (22, 6_000.0)):
        log.tree = HONEST[:size]
        assert Witness(witness.state, KEY, witness.key, witness.log, now=iter([now]).__next__).round().cosigned
        times.append(verify_cosignature(witness.state.cosigned(), witness.key[0], verifies))
    assert times == [5_000, 5_000, 6_000]


def test_a_damaged_state_is_not_forgotten(serve: Serve, post: Watch) -> None:
    witness = post(serve(FakeLog(HONEST[:20])))
    witness.round()
    (witness.state.folder / "seen.note").write_text("")
    with pytest.raises(Conflict, match="is damaged"):
        witness.round()
    (witness.state.folder / "seen.note").unlink()
    with pytest.raises(Conflict, match="is gone while cosigned"):
        witness.round()


def test_a_folder_serves_one_witness_of_one_log(serve: Serve, tmp_path: Path) -> None:
    api = serve(FakeLog(HONEST[:20])).url
    plan = Plan(api, tmp_path / "w", str(KEY), "w.example", once=True)
    lines: list[str] = []
    assert watch(plan, lines.append, lambda _: None) == 0
    other = Plan(api, tmp_path / "w", str(VerifierKey(KEY.name, bytes(32))), once=True)
    with pytest.raises(Invalid, match="belongs to the log"):
        watch(other, lines.append, lambda _: None)
    with pytest.raises(Invalid, match=r"is named w\.example, not v"):
        watch(Plan(api, tmp_path / "w", name="v", once=True), lines.append, lambda _: None)
    with State(tmp_path / "w").held(), pytest.raises(Conflict, match="another witness"):
        watch(plan, lines.append, lambda _: None)
    assert not any("WARNING" in line for line in lines)


def test_the_first_key_shown_is_trusted_loudly_and_kept(serve: Serve, tmp_path: Path) -> None:
    log = FakeLog(HONEST[:20])
    api = serve(log).url
    lines: list[str] = []
    assert watch(Plan(api, tmp_path, once=True), lines.append, lambda _: None) == 0
    assert any(line.startswith("WARNING: no --log-key named") for line in lines)
    log.key = VerifierKey(KEY.name, Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw())
    log.private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    assert watch(Plan(api, tmp_path, once=True), lines.append, lambda _: None) == 3


def test_a_log_that_shows_no_key_yet_asks_for_it(serve: Serve, tmp_path: Path) -> None:
    server = serve(FakeLog([]))
    server.answer = lambda *_: problem(409, "nothing is anchored yet")
    with pytest.raises(Unavailable, match="--log-key"):
        watch(Plan(server.url, tmp_path, once=True), lambda _: None, lambda _: None)


def test_the_verb_cosigns_then_refuses_with_exit_1(serve: Serve, refi: Refi, tmp_path: Path) -> None:
    log = FakeLog(HONEST[:20])
    arguments = ("witness", "--api", serve(log).url, "--state", tmp_path / "w", "--once", "--json")
    answer = refi(*arguments, "--log-key", KEY)
    assert (answer.code, json.loads(answer.out)["size"]) == (0, 20)
    key = parse_cosigner_key(answer.err.splitlines()[0].removeprefix("this witness is "))
    note = (tmp_path / "w" / "cosigned.note").read_text()
    assert verify_cosignature(note, key, verifies) > 1_700_000_000
    assert parse_checkpoint(note.partition("\n\n")[0] + "\n").size == 20
    assert stat.S_IMODE((tmp_path / "w" / "witness.key").stat().st_mode) == 0o600
    log.tree = OTHER[:20]
    refused = refi(*arguments)
    assert refused.code == 1
    assert Path(json.loads(refused.out)["evidence"]).exists()


def test_a_running_witness_serves_and_ends_politely(serve: Serve, tmp_path: Path) -> None:
    arguments = ["--api", serve(FakeLog(HONEST[:20])).url, "--state", str(tmp_path), "--log-key", str(KEY)]
    command = [sys.executable, "-m", "backend.cli", "witness", *arguments, "--interval", "0.1"]
    process = subprocess.Popen(
        [*command, "--listen", "0"], cwd=ROOT, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"cosigned size 20\n"
        os.kill(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert b"serving http://127.0.0.1:" in errors


def test_a_witness_killed_at_any_moment_never_cosigns_two_roots_for_one_size(serve: Serve, tmp_path: Path) -> None:
    log = FakeLog(HONEST[:11])
    server = serve(log)
    arguments = ["--api", server.url, "--state", str(tmp_path), "--log-key", str(KEY), "--interval", "0.1"]
    command = [sys.executable, "-m", "backend.cli", "witness", *arguments]
    roots: dict[int, set[bytes]] = {}
    for attempt in range(4):
        log.tree = (HONEST if attempt % 2 == 0 else OTHER)[: 12 + attempt // 2]
        process = subprocess.Popen(
            command, cwd=ROOT, env=child_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        seen, deadline = len(server.asked), time.monotonic() + 10
        while len(server.asked) == seen and time.monotonic() < deadline:
            time.sleep(0.001)
        process.kill()
        process.wait(10)
        if note := State(tmp_path).cosigned():
            checkpoint = read_note(note, KEY)
            roots.setdefault(checkpoint.size, set()).add(checkpoint.root)
    assert all(len(found) == 1 for found in roots.values())
