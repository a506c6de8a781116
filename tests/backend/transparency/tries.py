"""A Merkle-Patricia trie built the plain way, to hold the verifier against."""

from typing import Any

from backend.kernel.keccak import keccak256


def rlp(item: Any) -> bytes:
    """Encode bytes or a list."""
    if isinstance(item, list):
        body = b"".join(map(rlp, item))
        return _length(len(body), 0xC0) + body
    if len(item) == 1 and item[0] < 0x80:
        return bytes(item)
    return _length(len(item), 0x80) + bytes(item)


def _length(size: int, offset: int) -> bytes:
    if size < 56:
        return bytes([offset + size])
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([offset + 55 + len(digits)]) + digits


class Trie:
    """A trie over keys of equal length."""

    def __init__(self, content: dict[bytes, bytes]) -> None:
        self._top = self._node({key.hex(): value for key, value in content.items()})
        self.root = keccak256(rlp(self._top))

    def proof(self, key: bytes) -> list[bytes]:
        """Return the nodes on the way to a key, as far as it goes; nodes inside their parents are not listed."""
        nodes, node, path = [rlp(self._top)], self._top, key.hex()
        while True:
            if len(node) == 17:
                child, path = node[int(path[0], 16)], path[1:]
            else:
                part, is_leaf = _uncompact(node[0])
                if is_leaf or not path.startswith(part):
                    return nodes
                child, path = node[1], path[len(part) :]
            if child == b"":
                return nodes
            if not isinstance(child, list):
                nodes.append(self._stored[child])
            node = child if isinstance(child, list) else self._open[child]

    def _node(self, content: dict[str, bytes]) -> list[Any]:
        self._stored: dict[bytes, bytes] = getattr(self, "_stored", {})
        self._open: dict[bytes, list[Any]] = getattr(self, "_open", {})
        if len(content) == 1:
            ((path, value),) = content.items()
            return [_compact(path, leaf=True), value]
        first, last = min(content), max(content)
        shared = next(at for at in range(len(first)) if first[at] != last[at])
        if shared:
            rest = {path[shared:]: value for path, value in content.items()}
            return [_compact(first[:shared], leaf=False), self._reference(self._node(rest))]
        children: list[Any] = []
        for nibble in "0123456789abcdef":
            below = {path[1:]: value for path, value in content.items() if path[0] == nibble}
            children.append(self._reference(self._node(below)) if below else b"")
        return [*children, b""]

    def _reference(self, node: list[Any]) -> Any:
        encoded = rlp(node)
        if len(encoded) < 32:
            return node
        digest = keccak256(encoded)
        self._stored[digest], self._open[digest] = encoded, node
        return digest


def _compact(path: str, *, leaf: bool) -> bytes:
    flag = 2 * leaf + len(path) % 2
    return bytes.fromhex(f"{flag:x}{'' if len(path) % 2 else '0'}{path}")


def _uncompact(encoded: bytes) -> tuple[str, bool]:
    text = encoded.hex()
    return text[1 if int(text[0], 16) % 2 else 2 :], int(text[0], 16) >= 2
