"""`refi witness`: runs at a regulator's, cosigns consistent growth of one log, and reports a split view."""

import fcntl
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.cli.durable import write_durably
from backend.cli.site import KIB, Site, printable
from backend.kernel.canonical import EncodingError, decode_bytes, encode_bytes, time_string
from backend.kernel.errors import Conflict, Invalid, Unavailable
from backend.kernel.signed_note import CosignerKey, VerifierKey, cosign_note, parse_verifier_key, verify_cosignature
from backend.transparency.engine.witness import Fork, Seen, contradiction, evidence, judge, read_note, verifies

NOTE_BYTES = 64 * KIB
PROOF_BYTES = 64 * KIB
PACK_BYTES = 16 * 2**20
MAX_PROOF = 128
MAX_EVIDENCE_FILES = 100
# A log that is asked about a size just past what it serves needs a moment, not a verdict.
PROOF_ATTEMPTS = 3
PROOF_PAUSE_SECONDS = 1.0


class State:
    """A witness's folder: its key, the log's key, the last checkpoint seen and the last one cosigned."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder: two witnesses with one key could cosign two roots for one size."""
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(f"another witness uses {self.folder}") from None
            yield

    def key(self, name: str) -> tuple[CosignerKey, Ed25519PrivateKey]:
        """Return the witness's own key, made at the first start."""
        path = self.folder / "witness.key"
        if not path.exists():
            seed = secrets.token_bytes(32)
            public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
            made = CosignerKey(name or f"witness-{sha256(public).hexdigest()[:8]}", public)
            write_durably(path, json.dumps({"name": made.name, "seed": encode_bytes(seed)}).encode(), 0o600)
        try:
            kept = json.loads(path.read_text())
            private = Ed25519PrivateKey.from_private_bytes(decode_bytes(kept["seed"], 32))
            own = CosignerKey(kept["name"], private.public_key().public_bytes_raw())
        except (ValueError, KeyError, TypeError) as error:
            raise Invalid(f"{path} holds no key of a witness") from error
        if name and own.name != name:
            raise Invalid(f"the key in {self.folder} is named {own.name}, not {name}")
        return own, private

    def log_key(self) -> VerifierKey | None:
        """Return the log's key as it was named or met at the first start."""
        path = self.folder / "log.vkey"
        return parse_verifier_key(path.read_text().strip()) if path.exists() else None

    def pin(self, log: VerifierKey) -> None:
        """Write down the log's key."""
        write_durably(self.folder / "log.vkey", f"{log}\n".encode())

    def seen(self, log: VerifierKey) -> Seen | None:
        """Return the last checkpoint that was seen to be consistent."""
        path = self.folder / "seen.note"
        if not path.exists():
            if (self.folder / "cosigned.note").exists():
                raise Conflict(f"{path} is gone while cosigned.note stands: restore it before the witness goes on")
            return None
        try:
            return read_note(path.read_text(), log)
        except ValueError as error:
            # Starting afresh would let the log show another past: a person has to look.
            raise Conflict(f"{path} is damaged ({error}): restore it before the witness goes on") from error

    def keep(self, seen: Seen) -> None:
        """Write down a checkpoint; durable when this returns."""
        write_durably(self.folder / "seen.note", seen.note.encode())

    def cosigned(self) -> str:
        """Return the newest cosigned checkpoint, empty while there is none."""
        path = self.folder / "cosigned.note"
        return path.read_text() if path.exists() else ""

    def shown(self) -> str:
        """Return the last checkpoint that was seen, with the log's signature alone, empty while there is none."""
        path = self.folder / "seen.note"
        return path.read_text() if path.exists() else ""

    def publish(self, note: str) -> None:
        """Write down a cosigned checkpoint."""
        write_durably(self.folder / "cosigned.note", note.encode())

    def report(self, log: VerifierKey, fork: Fork, kept: Seen, shown: Seen) -> Path:
        """Write a file that shows a fork, once for each pair of checkpoints, and return its path."""
        pair = sha256(f"{kept.note}{shown.note}".encode()).hexdigest()[:12]
        path = self.folder / f"split-view-{shown.size}-{pair}.json"
        known = list(self.folder.glob("split-view-*.json"))
        if path not in known and len(known) < MAX_EVIDENCE_FILES:
            shows = evidence(log, fork, kept, shown, time_string(datetime.now(UTC)))
            write_durably(path, json.dumps(shows, indent=1, sort_keys=True).encode())
        return path if path in known or len(known) < MAX_EVIDENCE_FILES else known[0]


class Log:
    """The log as it is served: checkpoints and consistency proofs, neither trusted."""

    def __init__(self, api: Site, pause: Callable[[float], None] = time.sleep) -> None:
        self._api = api
        self._pause = pause

    def checkpoint(self, log: VerifierKey) -> Seen | None:
        """Return the newest checkpoint, nothing while the log is empty."""
        reply = self._api.get("/api/v1/log/checkpoint", NOTE_BYTES)
        if reply.status == 404:
            return None
        if not reply.ok:
            raise Unavailable(reply.said)
        return _opened(reply.text(), log, reply.url)

    def prove(self, first: int, second: int) -> Sequence[bytes] | None:
        """Return the consistency proof between two sizes, nothing where the log gives none that can be one."""
        for attempt in range(PROOF_ATTEMPTS):
            if attempt:
                self._pause(PROOF_PAUSE_SECONDS)
            reply = self._api.get("/api/v1/log/proof/consistency", PROOF_BYTES, first=first, second=second)
            if reply.ok:
                return _proof(reply.document())
        return None

    def key(self) -> VerifierKey:
        """Return the key that the log's own packs name: to be pinned, never to be trusted twice."""
        reply = self._api.get("/api/v1/evidence/0", PACK_BYTES)
        try:
            return parse_verifier_key(str(reply.document()["log_public_key"]))
        except (KeyError, EncodingError) as error:
            raise Unavailable(f"{reply.url} names no key of the log yet: give it with --log-key") from error


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at the log and at the peers came to."""

    size: int | None
    cosigned: bool
    split_view: str = ""
    evidence: str = ""
    unreachable: tuple[str, ...] = ()

    @property
    def code(self) -> int:
        """The exit status that this round alone would give."""
        return 1 if self.split_view else 3 if self.unreachable else 0

    def line(self) -> str:
        """Say it to a person."""
        parts = [f"SPLIT VIEW: {self.split_view}; evidence in {self.evidence}"] if self.split_view else []
        if self.cosigned:
            parts.append(f"cosigned size {self.size}")
        elif not self.split_view and self.size is None:
            parts.append("the log shows no checkpoint yet")
        return "; ".join([*parts, *self.unreachable])


class Witness:
    """Cosigns what extends all that it saw; a fork is reported and nothing more is cosigned while it lasts."""

    def __init__(
        self,
        state: State,
        log_key: VerifierKey,
        key: tuple[CosignerKey, Ed25519PrivateKey],
        log: Log,
        peers: Sequence[Site] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._log_key = log_key
        self._key, self._private = key
        self._log = log
        self._peers = peers
        self._now = now

    def round(self) -> Round:
        """Look once."""
        troubles: list[str] = []
        kept, others = self._state.seen(self._log_key), list(self._met(troubles))
        try:
            return self._looked(kept, others, troubles)
        except Unavailable as silence:
            return Round(kept.size if kept else None, cosigned=False, unreachable=(*troubles, silence.detail))

    def _looked(self, kept: Seen | None, others: Sequence[tuple[str, Seen]], troubles: Sequence[str]) -> Round:
        if kept and (split := self._against(kept, others)):
            return self._refused(split, kept, troubles)
        shown = self._log.checkpoint(self._log_key)
        if shown is None:
            lost = (f"the log shows no checkpoint any more; it had size {kept.size}",) if kept else ()
            return Round(kept.size if kept else None, cosigned=False, unreachable=(*troubles, *lost))
        if kept and (fork := judge(kept, shown, self._log.prove)):
            return self._refused((fork, shown, "the log"), kept, troubles)
        # What was seen is on disk first: after a crash no other root of this size can be cosigned.
        if kept is None or kept.checkpoint != shown.checkpoint:
            self._state.keep(shown)
        if split := self._against(shown, others):
            return self._refused(split, shown, troubles)
        self._state.publish(cosign_note(shown.note, self._key, self._private.sign, self._time()))
        return Round(shown.size, cosigned=True, unreachable=tuple(dict.fromkeys(troubles)))

    def _time(self) -> int:
        # A cosignature says what was largest at its time: a clock set back must not make an earlier one untrue.
        try:
            last = verify_cosignature(self._state.cosigned(), self._key, verifies)
        except EncodingError:
            last = 1
        return max(int(self._now()), last)

    def _met(self, troubles: list[str]) -> Iterator[tuple[str, Seen]]:
        for peer in self._peers:
            try:
                reply = peer.get("/seen", NOTE_BYTES)
                if reply.ok:
                    yield peer.base_url, _opened(reply.text(), self._log_key, reply.url)
                elif reply.status != 404:
                    troubles.append(reply.said)
            except Unavailable as silence:
                troubles.append(silence.detail)

    def _against(self, own: Seen, others: Sequence[tuple[str, Seen]]) -> tuple[Fork, Seen, str] | None:
        unproved = None
        for url, other in others:
            try:
                fork = contradiction(own, other, self._log.prove)
            except Unavailable as silence:
                unproved = silence
                continue
            if fork:
                return fork, other, f"the witness at {url}"
        # The log signed both: where it keeps the proof to itself, nothing is cosigned.
        if unproved:
            raise unproved
        return None

    def _refused(self, split: tuple[Fork, Seen, str], kept: Seen, troubles: Sequence[str]) -> Round:
        fork, shown, who = split
        path = self._state.report(self._log_key, fork, kept, shown)
        said = f"{fork.value}: {who} shows size {shown.size} root {encode_bytes(shown.root)}, "
        said += f"this witness saw size {kept.size} root {encode_bytes(kept.root)}"
        return Round(kept.size, cosigned=False, split_view=said, evidence=str(path), unreachable=tuple(troubles))


class Window(ThreadingHTTPServer):
    """Serves the latest cosigned checkpoint, and to its peers the last one seen; accepts nothing."""

    daemon_threads = True

    def __init__(self, state: State, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self.state = state

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self.server_address[0], self.server_address[1]
        return f"http://{host!s}:{port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away."""


class _Handler(BaseHTTPRequestHandler):
    timeout = 10

    def do_GET(self) -> None:
        """Answer with the checkpoint, or with nothing."""
        window = self.server
        served = (
            {"/checkpoint": window.state.cosigned, "/seen": window.state.shown} if isinstance(window, Window) else {}
        )
        content = served[self.path]().encode() if self.path in served else b""
        self.send_response(200 if content else 404)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a witness is asked for."""

    api: str
    state: Path
    log_key: str = ""
    name: str = ""
    peers: tuple[str, ...] = ()
    interval: float = 10.0
    once: bool = False
    listen: str = ""


def watch(plan: Plan, tell: Callable[[str], None], report: Callable[[Round], None]) -> int:
    """Run a witness until it is ended, or once; return the exit status."""
    state, log = State(plan.state), Log(Site(plan.api))
    with state.held():
        key = state.key(plan.name)
        tell(f"this witness is {key[0]}")
        log_key = _log_key(plan, state, log, tell)
        witness = Witness(state, log_key, key, log, [Site(peer) for peer in plan.peers])
        with _window(plan.listen, state, tell):
            return _rounds(witness, plan, report)


def _rounds(witness: Witness, plan: Plan, report: Callable[[Round], None]) -> int:
    """Look again and again; a fork that was found decides the exit status, whatever follows."""
    found, told = False, None
    try:
        while True:
            looked = witness.round()
            if looked != told:
                report(looked)
            told = looked
            found = found or bool(looked.split_view)
            if plan.once:
                return looked.code
            time.sleep(plan.interval)
    except KeyboardInterrupt:
        return 1 if found else 0


def _log_key(plan: Plan, state: State, log: Log, tell: Callable[[str], None]) -> VerifierKey:
    named, pinned = parse_verifier_key(plan.log_key) if plan.log_key else None, state.log_key()
    if named and pinned and named != pinned:
        raise Invalid(f"{state.folder} belongs to the log {pinned}: use another folder for another log")
    if pinned is None:
        pinned = named or log.key()
        if named is None:
            tell("WARNING: no --log-key named: the key that the log itself shows is trusted from now on")
        state.pin(pinned)
    tell(f"the log is {pinned}")
    return pinned


@contextmanager
def _window(listen: str, state: State, tell: Callable[[str], None]) -> Iterator[None]:
    if not listen:
        yield
        return
    match = re.fullmatch(r"(?:\[?([^\[\]]*?)\]?:)?([0-9]{1,5})", listen)
    if not match or int(match[2]) > 65_535:
        raise Invalid(f"{listen!r} is no HOST:PORT")
    window = Window(state, (match[1] or "127.0.0.1", int(match[2])))
    threading.Thread(target=window.serve_forever, args=(0.1,), daemon=True).start()
    tell(f"serving {window.url}/checkpoint")
    try:
        yield
    finally:
        window.shutdown()
        window.server_close()


def _opened(note: str, log: VerifierKey, url: str) -> Seen:
    try:
        return read_note(note, log)
    except EncodingError as error:
        raise Unavailable(printable(f"{url} shows no checkpoint of {log.name}: {error}")) from error


def _proof(document: dict[str, object]) -> list[bytes] | None:
    steps = document.get("proof")
    if not isinstance(steps, list) or len(steps) > MAX_PROOF:
        return None
    try:
        return [decode_bytes(str(step), 32) for step in steps]
    except EncodingError:
        return None
