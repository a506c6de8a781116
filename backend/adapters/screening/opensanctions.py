"""OpenSanctions' JSON lines: FollowTheMoney entities, one a line, plain or with the adjacent ones nested."""

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

from backend.adapters.screening.entries import BOTH, Entry, ListedName, birth_of, entry_of
from backend.kernel.canonical import require_shallow
from backend.kernel.errors import Invalid
from backend.ports.screening import HitKind, SubjectKind

MAX_LINE_BYTES = 4 * 2**20
MAX_NESTING = 6
ORGANISATIONS = {"Company", "Organization", "PublicBody"}
KINDS: Mapping[str, tuple[SubjectKind, ...]] = {
    "Person": (SubjectKind.PERSON,),
    "LegalEntity": BOTH,
    **dict.fromkeys(ORGANISATIONS, (SubjectKind.ORGANISATION,)),
}
WALLET = "CryptoWallet"
STRONG = ("name", "alias", "previousName")
COUNTRIES = ("nationality", "citizenship", "country", "jurisdiction")


def read(file: IO[bytes]) -> Iterator[Entry]:
    """Yield what stands on a list: sanctioned, or politically exposed; other entities are not for us."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise Invalid(f"line {number} is longer than {MAX_LINE_BYTES} bytes")
        if not line.strip():
            continue
        entity = _parsed(line, number)
        why = _why(entity)
        if why is None or (entity["schema"] not in KINDS and entity["schema"] != WALLET):
            continue
        try:
            yield _entry(entity, why)
        except Invalid as wrong:
            raise Invalid(f"line {number}: {wrong.detail}") from wrong


def _entry(entity: Mapping[str, Any], why: HitKind) -> Entry:
    names = [ListedName(name) for key in STRONG for name in _values(entity, key)]
    names += [ListedName(name, weak=True) for name in _values(entity, "weakAlias")]
    births = [birth_of(value) for value in _values(entity, "birthDate")]
    countries = [value.upper() for key in COUNTRIES for value in _values(entity, key) if len(value) == 2]
    kinds = KINDS.get(entity["schema"], ())
    return entry_of(entity["id"], kinds, why, names, births, countries, _wallets(entity, 0))


def _parsed(line: bytes, number: int) -> Mapping[str, Any]:
    try:
        text = line.decode()
        require_shallow(text)
        entity = json.loads(text)
    except ValueError as broken:
        raise Invalid(f"line {number} is no JSON: {type(broken).__name__}") from broken
    if not isinstance(entity, dict) or not isinstance(entity.get("properties"), dict):
        raise Invalid(f"line {number} is no entity: it has no properties")
    if not isinstance(entity.get("id"), str) or not isinstance(entity.get("schema"), str):
        raise Invalid(f"line {number} is no entity: it has no id or schema")
    return entity


def _why(entity: Mapping[str, Any]) -> HitKind | None:
    topics = _values(entity, "topics")
    if any(topic == "sanction" or topic.startswith("sanction.") for topic in topics):
        return HitKind.SANCTION
    # role.pep, and role.rca: relatives and close associates.
    return HitKind.PEP if any(topic.split(".")[:2] in (["role", "pep"], ["role", "rca"]) for topic in topics) else None


def _values(entity: Mapping[str, Any], key: str) -> list[str]:
    found = entity["properties"].get(key, [])
    return [value for value in found if isinstance(value, str)] if isinstance(found, list) else []


def _wallets(entity: Mapping[str, Any], depth: int) -> list[str]:
    own = _values(entity, "publicKey") if entity.get("schema") == WALLET else []
    if depth >= MAX_NESTING:
        return own
    for values in entity["properties"].values():
        for value in values if isinstance(values, list) else []:
            if isinstance(value, dict) and isinstance(value.get("properties"), dict):
                own = own + (_wallets(value, depth + 1) if value.get("schema") == WALLET else [])
    return own
