"""Ways to tamper with an evidence pack: each changes what the pack says, whatever the tamperer can recompute."""

import base64
import copy
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from backend.kernel.canonical import canonical_json, encode_bytes
from scripts.chaos.pack_cases import Case, Place, at, containers, dump, put, scalars
from scripts.chaos.pack_claims import CLAIM_MUTATIONS
from scripts.chaos.pack_forgery import (
    Forger,
    chain_of,
    cut_out,
    forge_heads,
    insert_back_dated,
    recommit,
)

Mutant = Any
Mutation = Callable[[Any, Random, Sequence[Case]], Mutant | bytes | None]
SECTIONS = ("heads", "model", "compliance", "var")
HEX, BASE64 = "0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


# --- the file


def truncated(pack: Any, draw: Random, _pool: Sequence[Case]) -> bytes:
    """Cut the file's end off."""
    text = dump(pack)
    return text[: draw.randrange(len(text))].encode()


def wrapped(pack: Any, draw: Random, _pool: Sequence[Case]) -> bytes:
    """Put bytes around the file, or encode it otherwise."""
    text = dump(pack)
    return draw.choice(
        [
            b"\xef\xbb\xbf" + text.encode(),
            gzip.compress(text.encode()),
            text.encode("utf-16"),
            text.encode() + draw.choice([b"\0", b"{}", b"]", b"x"]),
            b"[" + text.encode() + b"]",
        ]
    )


def a_character_changed(pack: Any, draw: Random, _pool: Sequence[Case]) -> bytes:
    """Replace one character of the file."""
    text = dump(pack)
    place = draw.randrange(len(text))
    return (text[:place] + draw.choice(BASE64 + '{}[]":,. \\\u0430\u200b') + text[place + 1 :]).encode()


def a_key_twice(pack: Any, draw: Random, _pool: Sequence[Case]) -> bytes:
    """Give a member twice, the first or the last time with another value."""
    place, _ = draw.choice([item for item in scalars(pack) if isinstance(item[0][-1], str)])
    value = json.dumps(at(pack, place))
    other = json.dumps("x" if draw.random() < 0.5 else at(pack, place))
    mark = put(pack, place, "\ue000")
    pair = [f'"{place[-1]}":{value}', f'"{place[-1]}":{other}']
    draw.shuffle(pair)
    return dump(mark).replace(f'"{place[-1]}":"\ue000"', ",".join(pair)).encode()


def a_number_of_another_form(pack: Any, draw: Random, _pool: Sequence[Case]) -> bytes:
    """Write a number as a float, with an exponent, a sign, leading zeros, as text, or as a truth value."""
    place, value = draw.choice([item for item in scalars(pack) if type(item[1]) is int])
    forms = [
        f"{value}.0",
        f"{value}e0",
        f"{value}E0",
        f"0{value}",
        f"+{value}",
        f'"{value}"',
        f"{value}.00",
        hex(value),
    ]
    forms += ["-0"] if value == 0 else ["true"] if value == 1 else [f"-{value}", str(value + 2**64), "NaN"]
    return dump(put(pack, place, "\ue000")).replace('"\ue000"', draw.choice(forms)).encode()


# --- values and shapes


def a_value_changed(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Put another value of the same kind in a value's place."""
    place, value = draw.choice(list(scalars(pack)))
    if isinstance(value, int):
        return put(pack, place, max(0, value + draw.choice([-2, -1, 1, 2, 256, 2**32])))
    if not value:
        return None
    cut = draw.randrange(len(value))
    alphabet = HEX if value.startswith("0x") or len(value) == 64 else BASE64
    return put(pack, place, value[:cut] + draw.choice(alphabet) + value[cut + 1 :])


def a_value_of_another_type(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant:
    """Put a value of another type in a value's place."""
    place, value = draw.choice(list(scalars(pack)))
    others: list[object] = [[], {}, True, None, [value], {"value": value}, 1.5]
    others += [str(value)] if isinstance(value, int) else [0, 2**53 - 1]
    return put(pack, place, draw.choice(others))


def an_array_reordered(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Exchange two items of an array."""
    arrays = [items for _, items in containers(pack, list) if len(items) > 1]
    if not arrays:
        return None
    items = draw.choice(arrays)
    one, other = draw.sample(range(len(items)), 2)
    items[one], items[other] = items[other], items[one]
    return pack


def an_item_repeated(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Repeat an item of an array, next to itself or at the end."""
    arrays = [items for _, items in containers(pack, list) if items]
    items = draw.choice(arrays)
    item = draw.choice(items)
    items.insert(draw.choice([items.index(item), len(items)]), copy.deepcopy(item))
    return pack


def an_item_dropped(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Drop an item of an array other than the entries."""
    arrays = [items for place, items in containers(pack, list) if items and place != ("entries",)]
    if not arrays:
        return None
    items = draw.choice(arrays)
    del items[draw.randrange(len(items))]
    return pack


def a_member_renamed(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Rename a member, add one, or take a required one away."""
    place, found = draw.choice([item for item in containers(pack, dict) if item[1]])
    name = draw.choice(list(found))
    kind = draw.choice(["rename", "add", "drop"])
    if kind == "add":
        found[draw.choice(["note", "l2proof", "__proto__", name.upper() + "_"])] = found[name]
    elif kind == "rename" and not _is_optional(place, name):
        found[name + draw.choice(["_", " ", "s"])] = found.pop(name)
    elif kind == "drop" and not _is_optional(place, name):
        del found[name]
    else:
        return None
    return pack


def _is_optional(place: Place, name: str) -> bool:
    # What may be absent from a true pack: taking it away leaves another true pack.
    return (not place and name in SECTIONS) or name == "l2_proof" or place[-1:] == ("disclosed",)


def text_of_another_form(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Write a text in other letters, or with characters that nobody sees."""
    place, value = draw.choice([item for item in scalars(pack) if isinstance(item[1], str) and item[1]])
    forms = [value.upper(), value + "\u200b", "\ufeff" + value, value + "\n", " " + value, value + "\0", value * 2]
    forms += [value.replace("a", "\u0430"), value.replace("0x", "0X"), value.removeprefix("0x")]
    return put(pack, place, draw.choice([form for form in forms if form != value]))


def base64_of_another_form(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant:
    """Write a hash in base64 with padding, unused bits, white space, or the other alphabet."""
    places = [item for item in scalars(pack) if isinstance(item[1], str) and len(item[1]) == 43]
    place, value = draw.choice(places)
    unused = BASE64[BASE64.index(value[-1]) ^ draw.choice([1, 2, 3])] if value[-1] in BASE64 else "A"
    forms = [value + "=", value[:-1] + unused, value + "\n", value[:9] + " " + value[9:], value + "A"]
    forms.append(value.replace("-", "+").replace("_", "/") + "=")
    return put(pack, place, draw.choice(forms))


def an_entrys_text_of_another_form(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant:
    """Write an entry's own JSON otherwise."""
    entry = draw.choice(pack["entries"])
    content = json.loads(entry["entry"])
    reordered = json.dumps({name: content[name] for name in ("t", "c", "v")}, separators=(",", ":"))
    doubled = entry["entry"][:-1] + ',"v":1}'
    longer = entry["entry"][:-1] + ',"w":1}'
    other = canonical_json(content | {"v": 2}).decode()
    entry["entry"] = draw.choice([json.dumps(content), reordered, doubled, longer, other, entry["entry"] + " "])
    return pack


# --- the records


def entries_reordered(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Exchange two entries."""
    if len(pack["entries"]) < 2:
        return None
    one, other = draw.sample(range(len(pack["entries"])), 2)
    pack["entries"][one], pack["entries"][other] = pack["entries"][other], pack["entries"][one]
    return pack


def an_entry_repeated(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant:
    """List an entry twice, at its own index or at another."""
    entry = copy.deepcopy(draw.choice(pack["entries"]))
    entry["index"] += draw.choice([0, 0, 1, -1])
    pack["entries"].insert(draw.randrange(len(pack["entries"]) + 1), entry)
    return pack


def an_entry_cut_out(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Take an entry out of the middle of an account's chain."""
    chain = chain_of(pack)
    if len(chain) < 3:
        return None
    pack["entries"].remove(draw.choice(chain[1:-1]))
    return pack


def an_entry_cut_out_and_the_rest_renumbered(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Take an entry out and close the gap: new numbers, and as much recomputed as the tamperer likes."""
    if len(chain_of(pack)) < 3:
        return None
    cut_out(pack, draw)
    return _recomputed(pack, draw)


def the_tail_cut(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Take the last entries away, and call an earlier one the head."""
    chain = chain_of(pack)
    if "heads" not in pack or len(chain) < 2:
        return None
    left = draw.randrange(1, len(chain))
    for entry in chain[left:]:
        pack["entries"].remove(entry)
    last = chain[left - 1]
    if left == 1 or draw.random() < 0.7:
        pack["heads"]["count"] = last["disclosed"]["seq"]["value"]
        pack["heads"]["head"] = json.loads(last["entry"])["c"]
    if left > 1 and draw.random() < 0.3:
        forge_heads(pack)
    return pack


def a_record_rewritten(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Change a disclosed value and recompute the hashes above it, up to where the tamperer stops."""
    shown = [entry for entry in pack["entries"] if entry["disclosed"]]
    if not shown:
        return None
    entry = draw.choice(shown)
    name = draw.choice(sorted(entry["disclosed"]))
    value = entry["disclosed"][name]["value"]
    entry["disclosed"][name]["value"] = value + 1 if isinstance(value, int) else f"{value}0"
    if name == "event":
        entry["entry"] = entry["entry"].replace(f'"t":"{value}"', f'"t":"{value}0"')
    if draw.random() < 0.8:
        recommit(entry, draw)
    return _recomputed(pack, draw)


def a_back_dated_record(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Insert a record between two others, with new numbers after it."""
    if len(chain_of(pack)) < 2:
        return None
    return _recomputed(pack, draw) if insert_back_dated(pack, draw) else None


def disclosures_exchanged(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Exchange what two entries, or two fields of one, disclose."""
    shown = [entry for entry in pack["entries"] if len(entry["disclosed"]) > 1]
    if not shown:
        return None
    one = draw.choice(shown)
    if len(shown) > 1 and draw.random() < 0.5:
        other = draw.choice([entry for entry in shown if entry is not one])
        name = draw.choice(sorted(one["disclosed"].keys() & other["disclosed"].keys()))
        pairs = (one["disclosed"], name), (other["disclosed"], name)
    else:
        names = draw.sample(sorted(one["disclosed"]), 2)
        pairs = (one["disclosed"], names[0]), (one["disclosed"], names[1])
    (left, a), (right, b) = pairs
    left[a], right[b] = right[b], left[a]
    return pack


def a_salt_or_path_changed(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Change a field's salt, path, place or number of fields."""
    fields = [field for entry in pack["entries"] for field in entry["disclosed"].values()]
    if not fields:
        return None
    field = draw.choice(fields)
    part = draw.choice(["salt", "path", "index", "count"])
    if part == "salt":
        field["salt"] = _hash(draw)
    elif part == "path" and field["path"]:
        field["path"][draw.randrange(len(field["path"]))] = _hash(draw)
    else:
        field["index" if part == "index" else "count"] += draw.choice([-1, 1, 8, 2**16])
    return pack


# --- the log and its anchor


def signed_by_another(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant:
    """Build the whole log anew under a key of the tamperer's, who claims it for the named contract."""
    return Forger(draw).rebuild(pack, own_key=True, own_identity=draw.random() < 0.7)


def a_forged_checkpoint(pack: Any, draw: Random, pool: Sequence[Case]) -> Mutant:
    """Change the checkpoint's text, its signature, or take another log's."""
    body, _, signature = pack["checkpoint"].partition("\n\n")
    origin, size, root = body.split("\n")[:3]
    other = base64.b64encode(draw.randbytes(32)).decode()
    pack["checkpoint"] = draw.choice(
        [
            f"{origin}\n{int(size) + draw.choice([-1, 1, 7])}\n{root}\n\n{signature}",
            f"{origin}\n{size}\n{other}\n\n{signature}",
            f"{origin}x\n{size}\n{root}\n\n{signature}",
            f"{origin}\n{size}\n{root}\nextension\n\n{signature}",
            f"{origin}\n0{size}\n{root}\n\n{signature}",
            f"{body}\n\n— {origin} {base64.b64encode(draw.randbytes(68)).decode()}\n",
            f"{body}\n\n",
            Forger(draw).sign(origin, int(size), root),
            next(case.pack["checkpoint"] for case in pool if case.pack["checkpoint"] != pack["checkpoint"]),
        ]
    )
    return pack


def anchored_elsewhere(pack: Any, draw: Random, pool: Sequence[Case]) -> Mutant:
    """Name another contract, chain, log, index, size, root, block or transaction."""
    anchor = pack["anchor"]
    name = draw.choice([name for name in anchor if name != "l2_proof"])
    value = anchor[name]
    if isinstance(value, int):
        anchor[name] = max(0, value + draw.choice([-1, 1, 2, -value, 1000]))
    elif value.startswith("0x"):
        anchor[name] = "0x" + draw.randbytes(len(value) // 2 - 1).hex()
    else:
        anchor[name] = draw.choice([_hash(draw), *(case.pack["anchor"][name] for case in pool)])
    if draw.random() < 0.3:
        Forger(draw).claim(pack)
    return pack


def a_consistency_proof_changed(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant:
    """Change how the checkpoint's tree is said to extend the anchored one."""
    proof, root = pack["consistency"], pack["checkpoint"].split("\n")[2]
    kind = draw.choice(["add", "drop", "change", "same", "claim"])
    if kind == "drop" and proof:
        del proof[draw.randrange(len(proof))]
    elif kind == "change" and proof:
        proof[draw.randrange(len(proof))] = _hash(draw)
    elif kind == "same":
        pack["anchor"]["root"] = encode_bytes(base64.b64decode(root))
        pack["anchor"]["size"] = int(pack["checkpoint"].split("\n")[1])
        pack["consistency"] = []
    else:
        proof.insert(draw.randrange(len(proof) + 1), _hash(draw))
    return pack


def the_last_leaf_doubled(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant:
    """Let the last leaf, or the last field, count twice under the same root (CVE-2012-2459)."""
    entry = draw.choice(pack["entries"])
    kind = draw.choice(["anchor", "checkpoint", "entry", "field", "account"])
    if kind == "field" and entry["disclosed"]:
        for field in entry["disclosed"].values():
            field["count"] += 1
    elif kind == "account" and "heads" in pack:
        pack["heads"]["of"] += 1
    elif kind == "entry":
        pack["entries"].append(copy.deepcopy(pack["entries"][-1]))
        pack["entries"][-1]["index"] += 1
    elif kind == "checkpoint":
        origin, size, rest = pack["checkpoint"].split("\n", 2)
        pack["checkpoint"] = f"{origin}\n{int(size) + 1}\n{rest}"
    else:
        pack["anchor"]["size"] += 1
    return pack


def a_head_exchanged(pack: Any, draw: Random, pool: Sequence[Case]) -> Mutant | None:
    """Show another head: of another account, count, or tree."""
    if "heads" not in pack:
        return None
    others = [case.pack["heads"] for case in pool if "heads" in case.pack and case.pack["heads"] != pack["heads"]]
    kind = draw.choice(["other", "count", "head", "forged", "place"])
    if kind == "other":
        pack["heads"] = draw.choice(others)
    elif kind == "count":
        pack["heads"]["count"] += draw.choice([-1, 1])
    elif kind == "head":
        pack["heads"]["head"] = json.loads(draw.choice(pack["entries"])["entry"])["c"]
    elif kind == "place":
        pack["heads"]["index"] += 1
    else:
        pack["heads"]["count"] += draw.choice([-1, 1])
        forge_heads(pack)
    return pack


def a_part_of_another_pack(pack: Any, draw: Random, pool: Sequence[Case]) -> Mutant | None:
    """Put a part of another pack in: a section of any, anything else of another log's."""
    name = draw.choice([*SECTIONS, "entries", "checkpoint", "anchor", "consistency", "log_public_key", "origin"])
    other = draw.choice(pool).pack
    if name not in other or (name not in SECTIONS and other["anchor"]["log_id"] == pack["anchor"]["log_id"]):
        return None
    pack[name] = other[name]
    return pack


def an_l2_proof_changed(pack: Any, draw: Random, _pool: Sequence[Case]) -> Mutant | None:
    """Change a node, a root or the slot of the proof against an output root, or take nodes away."""
    proof: dict[str, Any] | None = pack["anchor"].get("l2_proof")
    if proof is None:
        return None
    name = draw.choice(sorted(proof))
    value = proof[name]
    if isinstance(value, int):
        proof[name] += draw.choice([1, 2, 5])
    elif isinstance(value, str):
        proof[name] = "0x" + draw.randbytes(32).hex()
    else:
        proof[name] = _other_nodes(value, draw, proof)
    return pack


def _other_nodes(nodes: list[str], draw: Random, proof: Mapping[str, Any]) -> list[str]:
    place = draw.randrange(len(nodes))
    node = bytearray.fromhex(nodes[place][2:])
    node[draw.randrange(len(node))] ^= 1 << draw.randrange(8)
    return draw.choice(
        [
            [*nodes[:place], "0x" + node.hex(), *nodes[place + 1 :]],
            [*nodes[:place], nodes[place] + "00", *nodes[place + 1 :]],
            [*nodes[:place], *nodes[place + 1 :]],
            [*nodes[:place], nodes[place], *nodes[place:]],
            [*nodes, nodes[-1]],
            nodes[::-1],
            proof["account_proof"] if nodes != proof["account_proof"] else proof["storage_proof"],
        ]
    )


def _recomputed(pack: Any, draw: Random) -> Any:
    # From nothing to all of it but the key: how far the tamperer goes.
    effort = draw.randrange(3)
    if effort and "heads" in pack:
        forge_heads(pack)
    return Forger(draw).rebuild(pack, own_key=effort == 2, own_identity=False) if effort else pack


def _hash(draw: Random) -> str:
    return encode_bytes(draw.randbytes(32))


MUTATIONS: Mapping[str, Mutation] = {
    function.__name__.replace("_", " "): function
    for function in (
        truncated,
        wrapped,
        a_character_changed,
        a_key_twice,
        a_number_of_another_form,
        a_value_changed,
        a_value_of_another_type,
        an_array_reordered,
        an_item_repeated,
        an_item_dropped,
        a_member_renamed,
        text_of_another_form,
        base64_of_another_form,
        an_entrys_text_of_another_form,
        entries_reordered,
        an_entry_repeated,
        an_entry_cut_out,
        an_entry_cut_out_and_the_rest_renumbered,
        the_tail_cut,
        a_record_rewritten,
        a_back_dated_record,
        disclosures_exchanged,
        a_salt_or_path_changed,
        signed_by_another,
        a_forged_checkpoint,
        anchored_elsewhere,
        a_consistency_proof_changed,
        the_last_leaf_doubled,
        a_head_exchanged,
        a_part_of_another_pack,
        an_l2_proof_changed,
        *CLAIM_MUTATIONS,
    )
}
