"""Completeness of an account over HTTP: what is whole passes, and every way to leave something out is named."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.cli.audit import completeness
from backend.cli.audit.access import Names
from backend.cli.site import Site
from backend.kernel.canonical import encode_bytes
from backend.kernel.errors import Invalid, NotFound, Unavailable
from backend.kernel.heads import AccountHead
from backend.kernel.keccak import keccak256
from backend.transparency.engine.findings import exit_code
from backend.transparency.engine.log_audit import AnchorClaim
from tests.backend.cli.logs import Served, problem
from tests.backend.transparency.bundles import CHAIN_ID, CONTRACT, LOG_ID
from tests.backend.transparency.conftest import Chain, Endpoint, word
from tests.backend.transparency.ledger import OTHER, TRADER, UNIVERSE, Ledger, committed, honest

NAMED = Names(contract=CONTRACT, chain_id=CHAIN_ID)
Examine = Callable[..., dict[str, str]]
Document = dict[str, Any]


class Bent:
    """A ledger whose answers a test changes: `bend(path, document)` returns what is sent."""

    def __init__(self, log: Ledger, bend: Callable[[str, Document], Document | None] = lambda _, document: document):
        self.log = log
        self.bend = bend

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        status, content = self.log.answer(path, query)
        if status != 200:
            return status, content
        document = self.bend(path, json.loads(content))
        return problem(404, "no such thing") if document is None else (status, json.dumps(document).encode())


@pytest.fixture
def examine() -> Iterator[Examine]:
    """Return what examines a served log and gives each check's result."""
    servers: list[Served] = []

    def run(bent: Bent, names: Names = NAMED) -> dict[str, str]:
        servers.append(Served(bent.answer))
        findings, facts = completeness.examine(Site(servers[-1].url), "me", names)
        failed = {finding.name: finding.detail for finding in findings if finding.result == "fail"}
        skipped = {finding.name: "skipped" for finding in findings if finding.result == "skipped"}
        assert exit_code(findings) == (1 if failed else 3 if any(f.unreachable for f in findings) else 0)
        assert facts["account"] == encode_bytes(TRADER)
        return skipped | failed

    yield run
    for server in servers:
        server.end()


def test_a_whole_account_passes_for_a_regulator_and_for_its_owner(examine: Examine) -> None:
    assert examine(Bent(honest())) == {"anchors on chain": "skipped"}
    log = honest()
    log.regulator = False
    assert examine(Bent(log)) == {"all heads": "skipped", "anchors on chain": "skipped"}


def bend_page(change: Callable[[Document], object]) -> Callable[[str, Document], Document]:
    def bend(path: str, document: Document) -> Document:
        if path.endswith("/accounts/me"):
            change(document)
        return document

    return bend


def without_record(document: Document) -> None:
    del document["entries"][2]


def cut_tail(log: Ledger) -> Callable[[str, Document], Document]:
    """Show the page of the anchor before the newest, as if nothing had come since."""
    return lambda path, document: log.page(TRADER, 0, 500, at=2)[0] if path.endswith("/me") else document


def test_a_gap_is_found(examine: Examine) -> None:
    failed = examine(Bent(honest(), bend_page(without_record)))
    assert failed["sequence"] == "seq 4 where 3 is due (and 2 more)"
    assert {"prev chain", "heads", "tail"} <= failed.keys()


def test_a_cut_tail_is_found(examine: Examine) -> None:
    log = honest()
    failed = examine(Bent(log, cut_tail(log)))
    assert "the head counts 6 records, 4 were shown" in failed["heads"]
    assert "there is anchor 3" in failed["tail"]


def test_a_cut_tail_with_its_anchor_hidden_is_found_on_chain(examine: Examine, chain_of: Callable[..., str]) -> None:
    log = honest()
    log.of(TRADER)[1].shown = sorted(log.of(TRADER)[1].fields)
    tail = cut_tail(log)

    def bend(path: str, document: Document) -> Document | None:
        hidden = {"/api/v1/log/anchors": "anchors", "/api/v1/evidence/accounts/me/heads": "heads"}
        if path in hidden:
            document[hidden[path]].pop()
        return tail(path, document)

    names = Names(contract=CONTRACT, chain_id=CHAIN_ID, rpc=(chain_of(log),))
    assert examine(Bent(log, bend), NAMED) == {"anchors on chain": "skipped"}
    assert examine(Bent(log, bend), names)["anchors"] == "anchor 3 is not shown"


def test_a_fork_of_the_account_is_found(examine: Examine) -> None:
    log = honest()
    real = log.of(TRADER)[3]
    # The anchored head stands on another record 4 than the one shown.
    forked = [AccountHead(h.id, h.count, bytes([7]) * 32) if h.id == TRADER else h for h in log.anchors[2][1]]
    log.anchors[2] = (log.anchors[2][0], forked)
    failed = examine(Bent(log))
    assert real.seq == 4
    assert failed["heads"] == "anchor 2: the head is not record 4: a fork"


def test_a_head_that_lags_behind_the_records_is_found(examine: Examine) -> None:
    log = honest()
    old = log.anchors[1][1]
    log.anchors[2] = (log.anchors[2][0], old)
    assert "the head counts 2 records, 4 were shown" in examine(Bent(log))["heads"]


def test_a_head_that_is_not_anchored_is_found(examine: Examine) -> None:
    def bend(path: str, document: Document) -> Document:
        if path.endswith("/heads"):
            document["heads"][1]["heads"]["count"] -= 1
        return document

    assert "not in the anchored heads tree" in examine(Bent(honest(), bend))["heads"]


def test_a_head_left_out_is_found(examine: Examine) -> None:
    def bend(path: str, document: Document) -> Document:
        if path.endswith("/heads"):
            del document["heads"][1]
        return document

    assert "the account had records, no head is shown" in examine(Bent(honest(), bend))["heads"]


def withhold_price(document: Document) -> None:
    del document["entries"][4]["disclosed"]["price"]


def withhold_all_but_retained(document: Document) -> None:
    kept = ("account", "event", "prev", "seq")
    shown = document["entries"][5]["disclosed"]
    document["entries"][5]["disclosed"] = {name: shown[name] for name in kept}


def test_a_withheld_field_is_found(examine: Examine) -> None:
    assert examine(Bent(honest(), bend_page(withhold_price)))["commitments"] == "seq 5: 7 of 8 fields"


def test_fields_that_are_gone_without_an_erasure_are_found(examine: Examine) -> None:
    failed = examine(Bent(honest(), bend_page(withhold_all_but_retained)))
    assert failed["commitments"] == "fields of seq [6] are withheld, no later erasure is anchored"


def test_a_page_that_the_verifier_refuses_is_found(examine: Examine) -> None:
    def alter(document: Document) -> None:
        document["entries"][3]["inclusion"].reverse()

    assert examine(Bent(honest(), bend_page(alter)))["pages"] == "page 1: refused: inclusion"


def test_a_contract_that_was_not_named_is_another_log(examine: Examine) -> None:
    other = Names(contract="0x" + "11" * 20, chain_id=CHAIN_ID)
    assert examine(Bent(honest()), other)["pages"] == "page 1: refused: log identity"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda heads: heads.append(heads[0]), "not unique and sorted"),
        (lambda heads: heads.reverse(), "not unique and sorted"),
        (lambda heads: heads.pop(), "these are not the anchored heads"),
    ],
)
def test_a_full_list_that_is_not_the_anchored_one_is_found(
    change: Callable[[list[Any]], object], said: str, examine: Examine
) -> None:
    def bend(path: str, document: Document) -> Document:
        if path.endswith("/evidence/heads/2"):
            change(document["heads"])
        return document

    assert said in examine(Bent(honest(), bend))["all heads"]


def test_an_account_that_shrank_is_found(examine: Examine) -> None:
    log = honest()
    size, heads = log.anchors[3]
    log.anchors[3] = (size, [AccountHead(h.id, 1, h.head) if h.id == OTHER else h for h in heads])
    assert "an account has fewer records than before" in examine(Bent(log))["all heads"]


def test_anchors_that_the_chain_does_not_hold_are_found(examine: Examine, chain_of: Callable[..., str]) -> None:
    log = honest()
    names = Names(contract=CONTRACT, chain_id=CHAIN_ID, rpc=(chain_of(log),))
    assert examine(Bent(log), names) == {}
    altered = Names(contract=CONTRACT, chain_id=CHAIN_ID, rpc=(chain_of(log, wrong=1),))
    assert examine(Bent(log), altered)["anchors on chain"] == "the contract holds no such anchor 1"


def test_an_rpc_that_is_down_is_unreachable(examine: Examine) -> None:
    names = Names(contract=CONTRACT, chain_id=CHAIN_ID, rpc=("http://127.0.0.1:1",))
    assert examine(Bent(honest()), names) == {"anchors on chain": "skipped"}


@pytest.mark.parametrize("answer", [{}, {"account": 1, "heads": [{}]}, {"account": "x", "heads": 7}])
def test_an_answer_of_another_shape_is_a_fault_and_no_crash(answer: Document) -> None:
    server = Served(Bent(honest(), lambda path, doc: answer if path.endswith("/heads") else doc).answer)
    findings, _ = completeness.examine(Site(server.url), "me", NAMED)
    server.end()
    assert exit_code(findings) == 1


def test_who_is_not_there_or_not_shown_is_told_in_one_line() -> None:
    server = Served(lambda *_: problem(404, "no such account"))
    with pytest.raises(Unavailable, match="no such account"):
        completeness.examine(Site(server.url), "me", NAMED)
    log = honest()
    server.answer = Bent(log, lambda path, doc: None if "accounts" in path else doc).answer
    with pytest.raises(NotFound, match="no such thing"):
        completeness.examine(Site(server.url), "me", NAMED)
    server.end()


def test_pages_that_lead_no_further_end() -> None:
    log = honest()
    server = Served(lambda path, query: log.answer(path, query | {"after": "0", "limit": "3"}))
    server.headers = {"Link": '</x?after=3&limit=3>; rel="next"'}
    findings, _ = completeness.examine(Site(server.url), "me", NAMED)
    server.end()
    assert "leads no further" in next(f.detail for f in findings if f.name == "pages")


@pytest.fixture
def chain_of() -> Iterator[Callable[..., str]]:
    """Return what serves the anchors of a log as a chain does."""
    servers: list[Endpoint] = []

    def start(log: Ledger, wrong: int = -1) -> str:
        chain = Chain()
        count = keccak256(b"anchorCount(bytes32)")[:4] + LOG_ID
        chain.answer_call(CONTRACT, count, word(len(log.anchors)))
        for at in range(len(log.anchors)):
            call = keccak256(b"anchorAt(bytes32,uint256)")[:4] + LOG_ID + word(at)
            stored = bytes(32) if at == wrong else AnchorClaim.of(log.anchor(at)).word
            chain.answer_call(CONTRACT, call, stored)
        servers.append(Endpoint(chain, "honest", threading.Event()))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def asked(account: str, log: Ledger, subject: str = "") -> dict[str, str]:
    """Return each check's detail where it is not passed, of an account asked for by name."""
    server = Served(log.answer)
    findings, _ = completeness.examine(Site(server.url), account, NAMED, subject)
    server.end()
    return {finding.name: finding.detail for finding in findings if finding.result != "pass"}


def test_an_account_other_than_the_one_asked_for_is_found() -> None:
    assert "asked account" not in asked(encode_bytes(TRADER), honest())
    assert "asked account" not in asked("0x" + "Ab" * 20, honest())
    assert "asked account" not in asked("me", honest(), "0x" + "AB" * 20)
    assert "another account was asked for" in asked(encode_bytes(OTHER), honest())["asked account"]
    for account, subject in (("0x" + "cd" * 20, ""), ("me", "0x" + "cd" * 20)):
        assert "another wallet" in asked(account, honest(), subject)["asked account"]


def test_a_wallet_that_an_erased_account_does_not_show_is_not_confirmed() -> None:
    log = Ledger()
    log.record(TRADER, "account.opened", subject="0x" + "ab" * 20)
    log.record(TRADER, "erasure", erased=1)
    log.erase(TRADER, 1)
    log.place_anchor()
    assert asked("0x" + "cd" * 20, log)["asked account"].startswith("no record that is left names the wallet")


def test_an_erasure_excuses_no_more_records_than_it_counts(examine: Examine) -> None:
    log = honest()
    log.erase(TRADER, 3)
    assert "2 records are erased, later erasures count 1" in examine(Bent(log))["commitments"]


def test_an_erasure_excuses_no_record_of_its_own_time(examine: Examine) -> None:
    log = Ledger()
    log.record(TRADER, "account.opened", subject="0x" + "ab" * 20, epoch=20_000, position_commitment="0x00")
    log.record(TRADER, "erasure", erased=1, until=20_000)
    log.erase(TRADER, 1)
    log.place_anchor()
    assert "seq 1 of epoch 20000 is withheld" in examine(Bent(log))["commitments"]
    later = Ledger()
    later.record(TRADER, "account.opened", subject="0x" + "ab" * 20, epoch=20_000, position_commitment="0x00")
    later.record(TRADER, "erasure", erased=1, until=20_001)
    later.erase(TRADER, 1)
    later.place_anchor()
    skipped = dict.fromkeys(("anchors on chain", "positions", "reconciliation"), "skipped")
    assert examine(Bent(later)) == skipped


def test_an_erasure_that_was_erased_itself_counts_what_it_did(examine: Examine) -> None:
    log = honest()
    log.record(TRADER, "erasure", erased=5, until=20_001)
    for seq in (1, 3, 6):
        log.erase(TRADER, seq)
    log.place_anchor()
    assert examine(Bent(log)) == {"anchors on chain": "skipped", "positions": "skipped"}


def test_an_anchor_of_a_huge_index_ends_at_once(examine: Examine) -> None:
    log, huge = honest(), 2**53 - 1

    def bend(path: str, document: Document) -> Document:
        if path == "/api/v1/log/anchors":
            document["anchors"].append(document["anchors"][-1] | {"index": huge})
        return document

    bent = Bent(log, bend)
    honestly = bent.answer
    bent.answer = lambda path, query: problem(404, "no") if path.endswith(str(huge)) else honestly(path, query)  # type: ignore[method-assign]
    failed = examine(bent)
    assert "anchor 4 is not shown" in failed["anchors"]
    assert f"anchor {huge}: the heads are refused" in failed["all heads"]


def test_another_head_of_as_many_records_is_found(examine: Examine) -> None:
    log = honest()
    size, heads = log.anchors[3]
    log.anchors[3] = (size, [AccountHead(h.id, h.count, bytes(32)) if h.id == OTHER else h for h in heads])
    assert "another head of as many records" in examine(Bent(log))["all heads"]


def test_lists_of_heads_that_stop_halfway_are_found(examine: Examine) -> None:
    log = honest()
    server = Served(lambda path, query: problem(403, "no") if path.endswith("/heads/2") else log.answer(path, query))
    findings, _ = completeness.examine(Site(server.url), "me", NAMED)
    server.end()
    assert "anchor 2: the heads are refused" in next(f.detail for f in findings if f.name == "all heads")


def test_nothing_more_is_read_after_a_page_that_is_refused() -> None:
    log = honest()

    def endless(path: str, query: dict[str, str]) -> tuple[int, bytes]:
        if not path.endswith("/me"):
            return log.answer(path, query)
        pack = log.page(TRADER, 0, 1)[0]
        pack["entries"][0]["disclosed"]["seq"]["value"] = int(query["after"]) + 1
        return 200, json.dumps(pack).encode()

    server = Served(endless)
    server.headers = {"Link": '</x?after=1>; rel="next"'}
    findings, _ = completeness.examine(Site(server.url), "me", NAMED)
    server.end()
    assert exit_code(findings) == 1
    assert sum("/me?" in path for path in server.asked) == 2


def traded(universe: tuple[str, ...] = UNIVERSE, ignored: int = 0) -> Ledger:
    """Return a log with an opening, two fills and two closings, the second of which may ignore some shares."""
    log, day = Ledger(), 20_777
    log.record(TRADER, "account.opened", subject="0x" + "ab" * 20, **committed(day, universe=universe))
    log.record(TRADER, "order.filled", instrument="AAPL", side="buy", quantity="10", order_id="a")
    log.record(TRADER, "epoch.closed", **committed(day, {"AAPL": 10_000_000}, universe=universe))
    log.place_anchor()
    log.record(TRADER, "order.filled", instrument="AAPL", side="sell", quantity="2.5", order_id="b")
    held = {"AAPL": 7_500_000 + ignored}
    log.record(TRADER, "epoch.closed", **committed(day + 1, held, universe=universe))
    log.record(TRADER, "reconciliation.completed", day="2026-11-20")
    log.place_anchor()
    return log


def positions_of(log: Ledger | Bent, *universes: tuple[str, ...]) -> tuple[str, str, Document]:
    """Return the result of the positions' check, its detail, and what it counts."""
    server = Served(log.answer)
    findings, facts = completeness.examine(Site(server.url), "me", NAMED, universes=universes)
    server.end()
    found = next(finding for finding in findings if finding.name == "positions")
    assert exit_code(findings) == (found.result == "fail")
    return found.result, found.detail, facts["positions"]


def test_closings_follow_from_the_fills_that_are_disclosed(examine: Examine) -> None:
    assert examine(Bent(traded())) == {"anchors on chain": "skipped"}
    assert positions_of(traded()) == (
        "pass",
        "3 of 3 commitments follow from the fills before them",
        {"recorded": 3, "follow": 3, "skipped": []},
    )


def test_a_closing_that_ignores_a_fill_is_found() -> None:
    result, detail, counted = positions_of(traded(ignored=2_500_000))
    assert (result, detail) == ("fail", "commitment does not follow from the fills: epoch 20778")
    assert counted["follow"] == 2


def test_a_fill_that_is_not_shown_is_found_by_the_closings_too(examine: Examine) -> None:
    failed = examine(Bent(traded(), bend_page(lambda page: page["entries"].pop(1))))
    assert {"sequence", "prev chain", "positions"} <= failed.keys()


def test_an_erased_fill_leaves_the_closings_after_it_open(examine: Examine) -> None:
    log = traded()
    log.record(TRADER, "erasure", erased=2, until=20_778)
    for seq in (1, 4):
        log.erase(TRADER, seq)
    log.place_anchor()
    assert examine(Bent(log)) == {"anchors on chain": "skipped"}
    _, detail, counted = positions_of(log)
    assert detail.endswith("not checked: 1 erased, 1 after an erased fill")
    assert [skipped["epoch"] for skipped in counted["skipped"]] == [20_777, 20_778]


def test_a_universe_that_the_platform_does_not_list_can_be_named() -> None:
    older = ("AAPL", "XYZ")
    assert positions_of(traded(older))[:2] == ("skipped", "not checked: 3 of a universe whose tickers are not known")
    assert positions_of(traded(older), older)[2]["follow"] == 3
    assert positions_of(traded(older), older[::-1])[0] == "skipped"


@pytest.mark.parametrize("listed", [None, {}, {"instruments": 7}, {"instruments": [["AAPL"]]}, {"instruments": []}])
def test_tickers_that_are_not_listed_are_not_known(listed: Document | None) -> None:
    log = Bent(traded(), lambda path, document: listed if path.endswith("/instruments") else document)
    assert positions_of(log)[0] == "skipped"
    assert positions_of(log, UNIVERSE)[0] == "pass"


def test_the_universe_is_read_from_a_returns_file(tmp_path: Path) -> None:
    file = tmp_path / "returns.json"
    file.write_text(json.dumps({"universe": list(UNIVERSE), "epoch": 20_777, "v": 1}))
    assert completeness.universe_of(file) == list(UNIVERSE)
    for content in ("[]", "{}", "nothing", '{"universe": "AAPL"}', "[" * 100_000):
        file.write_text(content)
        with pytest.raises(Invalid, match=r"returns\.json (is not|is no|holds no)"):
            completeness.universe_of(file)
