"""`refi audit log`, `prove` and `export` over HTTP: what is served passes, what is bent fails, a stop loses nothing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.audit.engine.tiles import entry_bundle, parse_tile_path
from backend.cli.audit.access import Names, signed_in
from backend.cli.audit.export import Export, copy_records
from backend.cli.audit.log import audit_log
from backend.cli.audit.prove import prove
from backend.cli.site import Site
from backend.kernel import merkle
from backend.kernel.canonical import encode_bytes
from backend.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from backend.kernel.signed_note import Checkpoint, checkpoint_text, sign_note
from tests.backend.cli.conftest import Refi, several_in
from tests.backend.cli.logs import KEY, PRIVATE, Answer, Served, problem
from tests.backend.transparency.bundles import CHAIN_ID, CONTRACT, anchor, entry, write
from tests.backend.transparency.ledger import OTHER, TRADER, Ledger, honest

NAMED = Names(contract=CONTRACT, chain_id=CHAIN_ID)
Serve = Callable[[Answer], Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return what serves answers until the test ends."""
    servers: list[Served] = []

    def start(answer: Answer) -> Served:
        servers.append(Served(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


class ServedLog:
    """A log of so many entries with anchors at some sizes, as the platform serves it."""

    def __init__(self, size: int, anchored: tuple[int, ...]) -> None:
        self.entries = [entry(at) for at in range(size)]
        leaves = [merkle.leaf_hash(text.encode()) for text in self.entries]
        text = checkpoint_text(Checkpoint(KEY.name, size, merkle.root(leaves)))
        self.note = sign_note(text, KEY, PRIVATE.sign)
        self.anchors = [anchor(at, one, merkle.root(leaves[:one])) for at, one in enumerate(anchored)]

    def answer(self, path: str, _: dict[str, str]) -> tuple[int, bytes]:
        """Answer as the platform does."""
        if path == "/api/v1/log/checkpoint":
            return 200, self.note.encode()
        if path == "/api/v1/log/anchors":
            return 200, json.dumps({"chain_id": CHAIN_ID, "anchors": self.anchors}).encode()
        if path.startswith("/api/v1/log/tile/entries/"):
            address = parse_tile_path(path.removeprefix("/api/v1/log/tile/entries/"))
            return 200, entry_bundle(self.entries[address.start : address.end])
        return 200, json.dumps({"log_public_key": str(KEY)}).encode()


Said = tuple[int, dict[str, Any], dict[str, str]]
Run = Callable[..., Said]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs a verb and gives its exit status, its object and each check's result."""

    def call(verb: Callable[..., int], *arguments: object, names: Names = NAMED) -> Said:
        code = verb(*arguments, names, as_json=True)
        out = json.loads(capsys.readouterr().out)
        return code, out, {check["name"]: check["result"] for check in out["checks"]}

    return call


def test_a_served_log_passes_and_a_changed_one_fails(serve: Serve, run: Run) -> None:
    log = ServedLog(600, (1, 300, 512, 600))
    server = serve(log.answer)
    code, out, checks = run(audit_log, None, server.url, str(KEY))
    assert (code, out["size"], set(checks.values())) == (0, 600, {"pass", "skipped"})
    log.entries[300] = entry(999)
    code, _, checks = run(audit_log, None, server.url, "")
    assert (code, checks["roots"]) == (1, "fail")
    server.mode = "failing"
    with pytest.raises(Unavailable, match="answers with status 500"):
        run(audit_log, None, server.url, "")


def test_a_folder_of_bundles_passes_and_a_cut_one_fails(run: Run, tmp_path: Path) -> None:
    bundles = write(tmp_path, 3, 100, 2)
    code, out, checks = run(audit_log, tmp_path, "", "")
    assert (code, out["anchors"], checks["log identity"]) == (0, 6, "pass")
    bundles[1].unlink()
    code, out, _ = run(audit_log, tmp_path, "", "")
    failed = next(check for check in out["checks"] if check["name"] == "entries")
    assert code == 1
    assert failed["detail"].startswith("day-0002.json: from 200 to 300 after size 100")
    bundles[0].write_bytes(b"{}")
    code, out, _ = run(audit_log, tmp_path, "", "")
    assert "day-0000.json: not a bundle of entries" in out["checks"][1]["detail"]


MISUSES: list[tuple[list[str], int, str]] = [
    (["log", "--api", "ftp://x"], 2, "is no http address"),
    (["log", "/nowhere", "--api", "http://127.0.0.1:1"], 2, "either a folder of bundles or --api"),
    (["log", "/nowhere"], 2, "holds no bundles"),
    (["log"], 2, "name one with --api"),
    (["log", "--api", "http://127.0.0.1:1"], 3, "does not answer"),
    (["log", "--api", "http://127.0.0.1:1", "--log-key", "x"], 2, "not an Ed25519 verifier key"),
    (["prove", "0", "--api", "http://127.0.0.1:1"], 3, "does not answer"),
    (["prove", "x"], 2, "index"),
    (["prove", "0", "--api", "http://127.0.0.1:1", "--l2-proof", "newest"], 2, "no block"),
    (["prove", "0", "--api", "http://127.0.0.1:1", "--l2-proof", "latest"], 2, "--rpc"),
    (["completeness", "nobody", "--wallet", "w"], 2, "'nobody' is no account"),
    (["completeness", "me"], 2, "--wallet"),
    (["completeness", "me", "--wallet", "w", "--returns", "/none"], 2, "No such file"),
    (["completeness", "me", "--wallet", "/none", "--api", "http://127.0.0.1:1"], 2, "cannot be read"),
    (["export", "--wallet", "w"], 2, "--out"),
]


def test_a_wrong_use_is_told_in_one_line(tmp_path: Path) -> None:
    answers = several_in(tmp_path / "state", [["audit", *arguments] for arguments, _, _ in MISUSES])
    for (arguments, code, said), answer in zip(MISUSES, answers, strict=True):
        assert answer.is_one_line(code, said), (arguments, answer)


def public(log: Ledger) -> Callable[[str, dict[str, str]], tuple[int, bytes]]:
    """Return what answers with the public pack of entry 2."""
    pack, _ = log.page(TRADER, 1, 1)
    pack["entries"][0]["disclosed"] = {}
    pack.pop("heads", None)
    return lambda path, _: (200, json.dumps(pack).encode()) if path.endswith("/2") else problem(404, "no entry")


def test_an_entry_is_proved_by_its_public_pack(serve: Serve, run: Run, refi: Refi, tmp_path: Path) -> None:
    api, out = serve(public(honest())).url, tmp_path / "entry.refi.json"
    code, _, checks = run(prove, 2, out, api)
    assert (code, checks["inclusion"], checks["asked entry"]) == (0, "pass", "pass")
    named = ("--contract", CONTRACT, "--chain-id", CHAIN_ID)
    shown = refi("audit", "prove", "2", "--api", api, *named, "--json")
    assert (shown.code, json.loads(shown.out)["pack"]) == (0, json.loads(out.read_text()))
    with pytest.raises(NotFound, match="answers 404: no entry"):
        run(prove, 3, None, api)


def test_another_entry_than_the_one_asked_for_is_no_proof(serve: Serve, run: Run, tmp_path: Path) -> None:
    pack, out = public(honest())("/2", {}), tmp_path / "entry.refi.json"
    code, _, checks = run(prove, 5, out, serve(lambda *_: pack).url)
    assert (code, checks["asked entry"]) == (1, "fail")
    code, _, checks = run(prove, 5, out, serve(lambda *_: (200, b"{}")).url)
    assert (code, checks["format"], out.exists()) == (1, "fail", False)


def paged(log: Ledger, bend: Callable[[dict[str, Any]], object] = lambda _: None) -> Served:
    """Serve a ledger's pages of two records, with their links."""
    server = Served(log.answer)

    def answer(path: str, query: dict[str, str]) -> tuple[int, bytes]:
        pack, more = log.page(TRADER, int(query["after"]), 2)
        server.headers = {"Link": '</x?after=0>; rel="next"'} if more else {}
        bend(pack)
        return (200, json.dumps(pack).encode()) if pack["entries"] else problem(404, "nothing after that")

    server.answer = answer
    return server


def test_an_export_goes_on_after_a_stop_and_after_new_records(tmp_path: Path) -> None:
    log = honest()
    server, names = paged(log), NAMED
    asked = iter(range(100))

    def stopping(pack: dict[str, Any]) -> None:
        if next(asked) == 1:
            raise Unavailable("a stop in the middle")

    stopped = Export(tmp_path, "me")
    with pytest.raises(Unavailable):
        copy_records(stopped, Site(server.url), "me", names, lambda _: stopping({}))
    assert Export(tmp_path, "me").after == 4
    copy_records(Export(tmp_path, "me"), Site(server.url), "me", names)
    assert Export(tmp_path, "me").after == 6
    log.place_anchor()
    copy_records(Export(tmp_path, "me"), Site(server.url), "me", names)
    server.end()
    index = json.loads((tmp_path / "index.json").read_text())
    spans = [(one["file"], one["first_seq"], one["last_seq"]) for one in index["files"]]
    assert spans[0] == ("0001.refi.json", 1, 2)
    assert spans[-1] == ("0004.refi.json", 7, 7)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"000{n}.refi.json" for n in range(1, 5)),
        "index.json",
    ]


def test_a_page_that_does_not_verify_is_not_exported(tmp_path: Path) -> None:
    server = paged(honest(), lambda pack: pack["entries"][0]["inclusion"].reverse() if pack["entries"] else None)
    with pytest.raises(Conflict, match="do not verify: refused: inclusion"):
        copy_records(Export(tmp_path, "me"), Site(server.url), "me", Names())
    server.end()
    assert not list(tmp_path.glob("*.refi.json"))
    (tmp_path / "index.json").unlink()
    (tmp_path / "0001.refi.json").write_text("{}")
    with pytest.raises(Conflict, match="choose another folder"):
        Export(tmp_path, "me")


def test_a_page_with_a_gap_is_not_exported(tmp_path: Path) -> None:
    server = paged(honest(), lambda pack: pack["entries"].pop(0))
    with pytest.raises(Conflict, match="are not the next ones"):
        copy_records(Export(tmp_path, "me"), Site(server.url), "me", Names())
    server.end()


def test_an_export_that_was_changed_or_is_of_another_account_is_not_gone_on_with(tmp_path: Path) -> None:
    server = paged(honest())
    copy_records(Export(tmp_path, "me"), Site(server.url), "me", Names())
    server.end()
    with pytest.raises(Invalid, match="another account"):
        Export(tmp_path, "0x" + "ab" * 20)
    (tmp_path / "0002.refi.json").write_text("{}")
    with pytest.raises(Conflict, match=r"0002\.refi\.json is not the file that was exported"):
        Export(tmp_path, "me")
    (tmp_path / "index.json").write_text("[]")
    with pytest.raises(Invalid, match="no index of an export"):
        Export(tmp_path, "me")


@pytest.mark.parametrize(
    ("account", "wallet", "ok"),
    [
        (encode_bytes(TRADER), "", True),
        (encode_bytes(OTHER), "", False),
        ("0x" + "Ab" * 20, "", True),
        ("0x" + "cd" * 20, "", False),
        ("me", "0x" + "AB" * 20, True),
        ("me", "0x" + "CD" * 20, False),
    ],
)
def test_records_of_another_account_than_the_one_asked_for_are_not_exported(
    account: str, wallet: str, ok: bool, tmp_path: Path
) -> None:
    server, kept = paged(honest()), Export(tmp_path, account, wallet)
    if ok:
        copy_records(kept, Site(server.url), account, Names())
    else:
        with pytest.raises(Conflict, match="those of another account"):
            copy_records(kept, Site(server.url), account, Names())
    server.end()
    assert bool(list(tmp_path.glob("*.refi.json"))) == ok


def test_an_export_does_not_go_on_with_another_account(tmp_path: Path) -> None:
    log = honest()
    server = paged(log)
    copy_records(Export(tmp_path, "me"), Site(server.url), "me", Names())
    for seq in range(2, 9):
        log.record(OTHER, "order.filled", seq=seq, instrument="AAPL", quantity="1", price="1")
    log.place_anchor()
    server.answer = lambda *_: (200, json.dumps(log.page(OTHER, 6, 2)[0]).encode())
    with pytest.raises(Conflict, match="after seq 6 are those of another account"):
        copy_records(Export(tmp_path, "me"), Site(server.url), "me", Names())
    server.end()


def test_an_expired_session_is_renewed(serve: Serve, tmp_path: Path) -> None:
    key, given = tmp_path / "wallet.key", iter(("first", "second"))
    key.write_text("0x" + "11" * 32)

    def answer(path: str, _: dict[str, str]) -> tuple[int, bytes]:
        if path.endswith("/nonce"):
            return 200, b'{"nonce": "abcdefgh12345678"}'
        if path.endswith("/login"):
            return 200, json.dumps({"access_token": next(given)}).encode()
        if path.endswith("/anchors"):
            return 200, b'{"chain_id": 42069, "anchors": []}'
        return (200, b"{}") if server.tokens[-1] == "Bearer second" else problem(401, "expired")

    server = serve(answer)
    site = signed_in(server.url, key)
    assert site.get("/api/v1/evidence/accounts/me", 1000).ok
    assert [token for token in server.tokens if token] == ["Bearer first", "Bearer second"]
    key.write_text("no key")
    with pytest.raises(Invalid, match="64 hex digits"):
        signed_in(server.url, key)


def test_a_token_never_leaves_for_another_address(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda *_: (200, b"{}"))
    site = Site(server.url, sign_in=lambda: "secret")
    server.mode = "redirecting"
    with pytest.raises(Unavailable, match="redirects are not followed"):
        site.get("/api/v1/evidence/accounts/me", 1000)
    assert server.tokens == ["Bearer secret"]
