"""The good evidence packs of tests/vectors/evidence with what is named for each, and the chain's answers, replayed."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.transparency.engine.verifier import Named, Reverted, Rpc

VECTORS = Path(__file__).parents[2] / "tests" / "vectors" / "evidence"
# What a chain says of an account, a transaction or a block that it does not have.
NOTHING: Mapping[str, Any] = {"eth_call": "0x", "eth_getCode": "0x", "eth_getLogs": []}
REPLAYED = "replayed"

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A good pack, what its verifier names, the chain's answers, and the result of each check."""

    name: str
    text: str
    named: Mapping[str, Any]
    answers: Mapping[str, Any]
    results: Mapping[str, str]
    model: Path | None
    returns: Path | None

    @property
    def pack(self) -> Any:
        """Return the pack, parsed anew."""
        return json.loads(self.text)


class Replay(Rpc):
    """A chain in memory: the recorded answers, and nothing for every other question."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        super().__init__("http://replayed.invalid", 1.0)
        self._answers = answers

    def ask(self, method: str, *parameters: object) -> Any:
        """Return the recorded answer."""
        answer = self._answers.get(question(method, parameters), NOTHING.get(method))
        if isinstance(answer, dict) and answer.keys() == {"reverted"}:
            return Reverted(bytes.fromhex(answer["reverted"][2:]))
        return answer


def question(method: str, parameters: Iterable[object]) -> str:
    """Return the key of a question in a recording."""
    return json.dumps([method, *parameters], sort_keys=True)


def load_cases(folder: Path = VECTORS / "good") -> list[Case]:
    """Read the good packs."""
    return [_case(folder, case) for case in json.loads((folder / "cases.json").read_text())["cases"]]


def _case(folder: Path, case: Mapping[str, Any]) -> Case:
    chain = json.loads((folder / case["chain"]).read_text())["answers"] if "chain" in case else []
    return Case(
        name=case["pack"].removesuffix(".refi.json"),
        text=(folder / case["pack"]).read_text(),
        named=case["named"],
        answers={question(item["method"], item["params"]): item["result"] for item in chain},
        results=case["results"],
        model=folder / case["model"] if "model" in case else None,
        returns=folder / case["returns"] if "returns" in case else None,
    )


def named_of(case: Case, *, with_returns: bool = True) -> Named:
    """Return what a verifier of the case names; the VaR proof, about half a second, needs the returns file."""
    return Named(
        **case.named,
        rpc_urls=(REPLAYED,) if case.answers else (),
        model_path=case.model,
        returns_path=case.returns if with_returns else None,
    )


def dump(pack: Any) -> str:
    """Return a pack as text."""
    return json.dumps(pack, separators=(",", ":"), ensure_ascii=False)


def scalars(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield every string and number of a pack with its place."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from scalars(item, (*place, key))
    else:
        yield place, value


def containers(value: Any, kind: type, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield every object or array of a pack with its place."""
    if isinstance(value, kind):
        yield place, value
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from containers(item, kind, (*place, key))


def at(pack: Any, place: Place) -> Any:
    """Return what stands at a place."""
    for key in place:
        pack = pack[key]
    return pack


def put(pack: Any, place: Place, value: object) -> Any:
    """Set what stands at a place."""
    at(pack, place[:-1])[place[-1]] = value
    return pack
