"""Make the good packs: `python -m tests.vectors.evidence.make [--demo .refi/demo | --keep-demo]`.

The chain of a finished demo is started again from its dump, asked once, and its answers are kept beside the packs;
`--keep-demo` leaves the demo's packs as they are. The attested epoch comes from a node of its own.
"""

import argparse
import asyncio
import copy
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.adapters.chain.l2_proof import l2_proof
from backend.kernel.canonical import canonical_json
from backend.transparency.engine.verifier import Named, Reverted, Rpc, Unreachable, examine, selector, words
from scripts.chaos.pack_cases import VECTORS
from tests.vectors.evidence.epochs import attested_epoch
from tests.vectors.evidence.ledger import Ledger, LedgerChain
from tests.vectors.evidence.orders import ENGINE, GATE, GRACE, PAPER, Orders, OrdersChain, bad_cases

ROOT = Path(__file__).parents[3]
GOOD = VECTORS / "good"
FROM_DEMO = ("full", "public", "l2_proof")
SAMPLE_NAMED = {"contract": "0x" + "11" * 20, "chain_id": 42069}


class Recorder(Rpc):
    """Asks a chain and keeps the answers."""

    def __init__(self, url: str) -> None:
        super().__init__(url, 10.0)
        self.kept: list[dict[str, Any]] = []

    def ask(self, method: str, *parameters: object) -> Any:
        """Return the chain's answer, and keep it; of blocks and receipts only what a verifier reads."""
        answer = super().ask(method, *parameters)
        if isinstance(answer, dict):
            answer = {
                name: answer[name] for name in ("number", "hash", "stateRoot", "blockNumber", "input") if name in answer
            } | {
                name: [{part: log[part] for part in ("address", "topics", "data")} for log in answer[name]]
                for name in ("logs",)
                if name in answer
            }
        result = {"reverted": "0x" + answer.data.hex()} if isinstance(answer, Reverted) else answer
        item = {"method": method, "params": list(parameters), "result": result}
        if item not in self.kept:
            self.kept.append(item)
        return answer


@dataclass(frozen=True, slots=True)
class Demo:
    """A finished demo's pack, addresses and files."""

    pack: dict[str, Any]
    contracts: dict[str, str]
    folder: Path

    @property
    def named(self) -> dict[str, Any]:
        """Return what a verifier of the demo's log names."""
        return {"contract": self.contracts["AuditAnchor"], "chain_id": self.pack["anchor"]["chain_id"]}

    @property
    def all_named(self) -> dict[str, Any]:
        """Return every address that a verifier may name."""
        names = {"attestor": "VarAttestor", "engine": "PolicyEngine", "target": "OrderGate"}
        return self.named | {name: self.contracts[contract] for name, contract in names.items()}


def read_demo(folder: Path) -> Demo:
    """Read the folder of a finished demo."""
    summary = json.loads((folder / "summary.json").read_text())
    pack = json.loads((folder / "evidence" / Path(summary["evidence"]).name).read_text())
    return Demo(pack, summary["network"]["contracts"], folder)


@contextmanager
def chain_of(demo: Demo) -> Iterator[str]:
    """Start the demo's chain from its dump and yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    dump = demo.folder / "anvil"
    anvil = [str(ROOT / "node_modules" / ".bin" / "anvil"), "--network", "optimism", "--load-state", str(dump)]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([*anvil, "--chain-id", "42069", "--port", str(port), "--silent"]) as process:
        try:
            _await(url)
            yield url
        finally:
            process.terminate()


def _await(url: str) -> None:
    for _ in range(100):
        try:
            Rpc(url, 5.0).quantity("eth_chainId")
        except Unreachable:
            time.sleep(0.2)
        else:
            return
    raise SystemExit("the demo's chain does not start")


class Shelf:
    """Writes packs, recordings and the list of cases."""

    def __init__(self) -> None:
        self.cases: list[dict[str, Any]] = []

    def put(
        self,
        name: str,
        about: str,
        pack: dict[str, Any],
        named: dict[str, Any],
        recorder: Recorder | LedgerChain,
        **files: str,
    ) -> None:
        """Examine a pack, insist that it is good, and write it with what the chain answered."""
        text = canonical_json(pack)
        urls = (recorder.url,)
        paths: dict[str, Any] = {f"{kind}_path": GOOD / file for kind, file in files.items()}
        for other in range(pack["anchor"]["index"] + 2 if isinstance(recorder, Recorder) else 0):
            anchor_at(recorder, pack["anchor"], other)
        report = examine(text, Named(**named, rpc_urls=urls, **paths), [recorder])
        if not report.ok:
            raise SystemExit(f"{name}: {report.verdict}")
        if name != "sample":
            (GOOD / f"{name}.refi.json").write_bytes(text)
        case: dict[str, Any] = {"about": about, "pack": f"{name}.refi.json", "named": named, **files}
        case["chain"] = f"{name}.chain.json"
        _write(GOOD / case["chain"], {"answers": recorder.kept})
        self.cases.append(case | {"results": {check.name: check.result for check in report.checks}})


def anchor_at(rpc: Rpc, anchor: dict[str, Any], index: int) -> None:
    """Ask for the log's other anchors too, so that a recording holds them against a pack that names them."""
    call = selector("anchorAt(bytes32,uint256)") + words(anchor["log_id"], index)
    rpc.call(anchor["contract"], call)


def public(pack: dict[str, Any]) -> dict[str, Any]:
    """Return what anybody may see of a full pack's entry."""
    names = ("format", "origin", "log_public_key", "checkpoint", "anchor", "consistency")
    shown: dict[str, Any] = copy.deepcopy({name: pack[name] for name in names})
    return shown | {"entries": [pack["entries"][0] | {"disclosed": {}}]}


def demo_cases(shelf: Shelf, demo: Demo) -> None:
    """Put the packs of a real run."""
    for file in ("model/model.safetensors", "model/model.json", "evidence/returns.json"):
        shutil.copy(demo.folder / file, GOOD)
    files = {"model": "model.safetensors", "returns": "returns.json"}
    with chain_of(demo) as url:
        anchor = demo.pack["anchor"]
        place = (anchor["contract"], bytes.fromhex(anchor["log_id"][2:]), anchor["index"])
        proof = asyncio.run(l2_proof(url, *place, "latest"))
        shelf.put(
            "full", "an order with model, receipt and attestation, as its owner gets it",
            demo.pack, demo.all_named, Recorder(url), **files,
        )  # fmt: skip
        shelf.put("public", "the same entry, as anybody gets it", public(demo.pack), demo.named, Recorder(url))
        proved = public(demo.pack)
        proved["anchor"]["l2_proof"] = proof
        named = demo.named | {"l1_output_root": proof["output_root"]}
        shelf.put("l2_proof", "an anchor proved against an output root", proved, named, Recorder(url))


def ledger_cases(shelf: Shelf, ledger: Ledger) -> None:
    """Put the packs of a made-up account of 12 records."""
    named = {"contract": ledger.contract, "chain_id": ledger.chain_id}
    for name, about, pack in (
        ("page", "an account's first records, with more to come: no heads", ledger.page(0, 5)),
        ("last_page", "an account's last records, with its head", ledger.page(5, 12)),
        ("erased", "an account whose middle records were erased", ledger.page(0, 12, erased={4, 5, 6, 9})),
    ):
        shelf.put(name, about, pack, named, LedgerChain(pack))


def order_cases(shelf: Shelf) -> None:
    """Put the packs of orders whose receipts hold a context, and their bad twins."""
    orders = Orders()
    named = {"contract": orders.contract, "chain_id": orders.chain_id, "engine": ENGINE, "target": GATE}
    for name, about, seq in (
        ("paper", "an order of a model without a vote at a venue without money", PAPER),
        ("grace", "a person's sale while the rules did not answer", GRACE),
    ):
        pack = orders.order(seq)
        shelf.put(name, about, pack, named, OrdersChain(pack))
    bad = json.loads((VECTORS / "bad.json").read_text())
    others = [case for case in bad["cases"] if case.get("good") not in {"good/paper.refi.json", "good/grace.refi.json"}]
    _write(VECTORS / "bad.json", bad | {"cases": others + bad_cases(orders)})


def attested_case(shelf: Shelf) -> None:
    """Put the pack of an attested epoch, VaR and expected shortfall, the second of its chain."""
    with attested_epoch() as made:
        (GOOD / "attested.returns.json").write_bytes(made.returns)
        about = "a closed epoch with its attestation of VaR and expected shortfall, as anybody gets it"
        shelf.put("attested", about, made.pack, made.named, Recorder(made.url), returns="attested.returns.json")


def main() -> int:
    """Write the good packs and their list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=ROOT / ".refi" / "demo", help="the folder of a finished demo")
    parser.add_argument("--keep-demo", action="store_true", help="leave the demo's packs as they are")
    options = parser.parse_args()
    shelf = Shelf()
    sample = json.loads((GOOD / "sample.refi.json").read_text())
    shelf.put(
        "sample",
        "one record with its head, made from docs/evidence.md alone",
        sample,
        SAMPLE_NAMED,
        LedgerChain(sample),
    )
    if options.keep_demo:
        known = json.loads((GOOD / "cases.json").read_text())["cases"]
        shelf.cases += [case for case in known if case["pack"].removesuffix(".refi.json") in FROM_DEMO]
    else:
        demo_cases(shelf, read_demo(options.demo))
    attested_case(shelf)
    ledger_cases(shelf, Ledger())
    order_cases(shelf)
    _write(GOOD / "cases.json", {"cases": shelf.cases})
    print(*(case["pack"] for case in shelf.cases), sep="\n")  # noqa: T201 - a command
    return 0


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
