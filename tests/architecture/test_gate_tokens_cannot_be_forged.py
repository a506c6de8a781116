"""Only a gate builds its token: read from the source, whatever the types say."""

import ast
from functools import cache
from pathlib import Path

import pytest

SOURCES = ("backend", "oracle", "scripts", "agents")
TOKENS = {"ClearedDecision": "backend/compliance/service/gate.py", "ApprovedOrder": "backend/risk/service.py"}
WAYS_ROUND = {"replace", "__new__", "__copy__", "deepcopy", "copy"}


@cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Return every module that names a token at all."""
    texts = {path: path.read_text() for source in SOURCES for path in sorted(Path(source).rglob("*.py"))}
    return tuple(
        (path.as_posix(), ast.parse(text)) for path, text in texts.items() if any(token in text for token in TOKENS)
    )


def aliases(tree: ast.Module, token: str) -> set[str]:
    """Return every name that the token has in a module."""
    names = {token}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {found.asname for found in node.names if found.name == token and found.asname}
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in names:
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def constructions(tree: ast.Module, token: str) -> list[int]:
    """Return the lines that call the token's class, by any name, or make one from a subclass."""
    names, lines = aliases(tree, token), []
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        bases = node.bases if isinstance(node, ast.ClassDef) else []
        for found in (called, *bases):
            named = isinstance(found, ast.Name) and found.id in names
            dotted = isinstance(found, ast.Attribute) and found.attr == token
            made = (
                isinstance(found, ast.Attribute)
                and found.attr == "__new__"
                and isinstance(found.value, ast.Name)
                and found.value.id in names
            )
            if isinstance(node, ast.Call | ast.ClassDef) and (named or dotted or made):
                lines.append(node.lineno)
    return lines


def handles(tree: ast.Module, token: str) -> bool:
    names = aliases(tree, token)
    return any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(tree))


@pytest.mark.parametrize("token", TOKENS)
def test_only_the_gate_builds_its_token(token: str) -> None:
    builders = {path for path, tree in modules() if constructions(tree, token)}
    assert builders == {TOKENS[token]}


@pytest.mark.parametrize("token", TOKENS)
def test_nobody_copies_a_token_with_other_contents(token: str) -> None:
    guilty = [
        (path, node.lineno)
        for path, tree in modules()
        if handles(tree, token)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Name) and node.func.id in WAYS_ROUND)
            or (isinstance(node.func, ast.Attribute) and node.func.attr in WAYS_ROUND)
        )
    ]
    assert not guilty


@pytest.mark.parametrize(
    "source",
    [
        "ClearedDecision(1, 2)",
        "from backend.compliance.types import ClearedDecision as Fine\nFine(1)",
        "import backend.compliance.types as t\nt.ClearedDecision(1)",
        "Mine = ClearedDecision\nMine(1)",
        "class Mine(ClearedDecision): pass",
        "ClearedDecision.__new__(ClearedDecision)",
    ],
)
def test_the_search_sees_a_forgery(source: str) -> None:
    assert constructions(ast.parse(source), "ClearedDecision")


def test_the_search_lets_a_token_travel() -> None:
    source = "def approve(cleared: ClearedDecision) -> None:\n    print(isinstance(cleared, ClearedDecision))"
    assert not constructions(ast.parse(source), "ClearedDecision")
