"""A proposal's text names its calls, and what it does not name is told."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.governance.engine import compare, composed, promotion, rendered
from backend.governance.engine.text import lookalikes, models_of, unprintable
from backend.governance.types import ModelCids, ShownCall
from backend.kernel.errors import Invalid
from backend.ports.governance import Argument, Call, Decoded

REGISTRY, POLICY, WALLET = "0x" + "0a" * 20, "0x" + "0b" * 20, "0x" + "0c" * 20
MODEL, OTHER = "ab" * 32, "cd" * 32
CIDS = ModelCids("bafw", "bafd", "baft", "bafc", "bafr")
PROMOTION = promotion(WALLET, REGISTRY, [b"\x01", b"\x02"], MODEL, CIDS).description


def on_model(function: str, model: str = MODEL) -> ShownCall:
    """Return a decoded call of the registry."""
    argument = Argument("modelHash", "bytes32", "0x" + model)
    decoded = Decoded("ModelRegistry", function, f"{function}(bytes32)", (argument,), True)
    return ShownCall(Call(REGISTRY, 0, function.encode()), decoded, ())


def limit(value: int, wei: int = 0) -> ShownCall:
    """Return a decoded call that moves a limit."""
    decoded = Decoded("VolumePolicy", "setMax", "setMax(uint256)", (Argument("max", "uint256", str(value)),), True)
    return ShownCall(Call(POLICY, wei, value.to_bytes(32, "big")), decoded, ())


def unknown(data: bytes, wei: int = 0) -> ShownCall:
    """Return a call that no ABI reads."""
    return ShownCall(Call(WALLET, wei, data), None, ("not decoded",))


CALLS = st.one_of(
    st.builds(limit, st.integers(0, 2**200), st.integers(0, 5)), st.builds(unknown, st.binary(max_size=40))
)
TEXTS = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1).filter(
    lambda text: (
        text.strip()
        and text.strip() != "Calls:"
        and "#proposer=" not in text
        and not lookalikes(text)
        and not unprintable(text)
    )
)


def test_a_promotion_that_does_what_it_says_matches() -> None:
    check = compare(PROMOTION, [on_model("approve"), on_model("promote")], {MODEL: ("baft", "bafr")})
    assert (check.matches, check.reasons) == (True, ())


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ([on_model("approve", OTHER), on_model("promote", OTHER)], f"the text promotes model {MODEL}"),
        ([on_model("approve")], f"the payload does approve with it: {MODEL}"),
        ([on_model("approve"), on_model("promote"), limit(5)], "call 3 is no part of the promotion"),
        ([on_model("approve"), on_model("promote"), unknown(b"\x00")], "call 3 is no part of the promotion"),
        ([on_model("approve"), on_model("promote"), on_model("promote", OTHER)], OTHER),
        ([on_model("retire")], "the payload does retire with it"),
        ([], "the payload does nothing with it"),
    ],
)
def test_a_promotion_that_does_anything_else_does_not(calls: list[ShownCall], reason: str) -> None:
    check = compare(PROMOTION, calls)
    assert check.matches is False
    assert any(part in " ".join(check.reasons) for part in reason.split(": "))


def test_a_promotion_with_other_files_than_the_registered_ones_does_not_match() -> None:
    calls = [on_model("approve"), on_model("promote")]
    check = compare(PROMOTION, calls, {MODEL: ("baft", "another report")})
    assert check.matches is False
    assert check.reasons == (
        f"the text's evaluation report bafr is not the registered one of model {MODEL}: another report",
    )


def test_a_model_that_is_moved_inside_another_call_counts_as_moved() -> None:
    carrier = replace(unknown(b"relay"), inner=(on_model("promote", OTHER),))
    assert models_of([carrier]) == [OTHER]
    check = compare("A harmless change", [carrier])
    assert check.matches is False
    assert OTHER in check.reasons[0]


@given(TEXTS, st.lists(CALLS, min_size=1, max_size=4))
def test_what_was_composed_matches_its_calls(text: str, calls: list[ShownCall]) -> None:
    is_read = all(call.decoded is not None for call in calls)
    assert compare(composed(text, calls, WALLET), calls).matches is (True if is_read else None)


@given(TEXTS, st.lists(CALLS, min_size=1, max_size=4), CALLS, st.integers(0, 4))
def test_calls_that_are_exchanged_added_or_left_out_do_not_match(
    text: str, calls: list[ShownCall], other: ShownCall, place: int
) -> None:
    description = composed(text, calls)
    assert compare(description, [*calls, other]).matches is False
    assert compare(description, calls[1:]).matches is False
    changed = [*calls[:place], other, *calls[place + 1 :]]
    is_same = list(map(rendered, changed)) == list(map(rendered, calls))
    assert (compare(description, changed).matches is not False) is is_same


def test_a_text_that_names_no_calls_proves_nothing() -> None:
    check = compare("Make everything better", [limit(5)])
    assert check.matches is None
    assert check.reasons == ("the text names no calls that can be compared",)


def test_a_text_that_lists_calls_twice_does_not_match() -> None:
    honest = composed("A change", [limit(5)])
    check = compare(f"Calls:\n1. {rendered(limit(7))}\n\n{honest}", [limit(5)])
    assert check.matches is False
    assert check.reasons == ("the text lists calls more than once",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "1 to"),
        ("A change\nCalls:\n1. none", "written by the platform"),
        ("A change #proposer=0x", "written by the platform"),
        ("A \u202echange", r"U\+202E"),
        ("A\x1b[2Jchange", r"U\+001B"),
        ("A \ud800", r"U\+D800"),
    ],
)
def test_a_text_that_could_mislead_is_not_written(text: str, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        composed(text, [limit(5)])


def carrying(*inner: ShownCall) -> ShownCall:
    """Return a decoded call that carries others."""
    data = Argument("data", "bytes", "0x")
    decoded = Decoded("RefiGovernor", "relay", "relay(bytes)", (data,), True, tuple(part.call for part in inner))
    return ShownCall(Call(WALLET, 0, b"relay"), decoded, (), inner)


def test_a_promotion_that_carries_more_inside_one_of_its_calls_does_not_match() -> None:
    batch = carrying(on_model("approve"), on_model("promote"), limit(5))
    check = compare(PROMOTION, [batch])
    assert check.matches is False
    assert "call 1 is no part of the promotion" in check.reasons[0]
    twice = [on_model("approve"), on_model("promote"), on_model("promote")]
    assert compare(PROMOTION, twice).matches is False


def test_calls_inside_calls_are_named_or_the_text_does_not_match() -> None:
    honest = composed("A change", [carrying(limit(5))])
    assert "carrying [1. VolumePolicy" in honest
    assert compare(honest, [carrying(limit(5))]).matches is True
    assert compare(honest, [carrying(limit(6))]).matches is False
    silent = replace(carrying(limit(5)), inner=())
    assert compare(composed("A change", [silent]), [carrying(limit(5))]).matches is False


def test_a_call_that_is_not_read_is_never_what_the_text_says_not_even_inside_another() -> None:
    for calls in ([unknown(b"x")], [carrying(unknown(b"x"))]):
        check = compare(composed("A change", calls), calls)
        assert (check.matches, WALLET in check.reasons[0]) == (None, True)


def test_bytes_that_ride_behind_the_arguments_are_never_what_the_text_says() -> None:
    decoded = limit(5).decoded
    assert decoded is not None
    ridden = replace(limit(5), decoded=replace(decoded, is_whole=False))
    for calls in ([ridden], [carrying(ridden)]):
        check = compare(composed("A change", calls), calls)
        assert (check.matches, check.reasons) == (
            False,
            ("the data of setMax is not exactly what its arguments encode to",),
        )


@pytest.mark.parametrize(
    "deceit",
    [
        "A \u202echange",
        "A\x1b[2J change",
        "A\rchange",
        "A\u200bchange",
        "A \u3164 change",
        "Pr\u043emote a model",
        "\uff30romote a model",
        MODEL.replace("a", "\u0430"),
    ],
)
def test_a_text_that_does_not_read_as_it_is_never_matches(deceit: str) -> None:
    honest = composed("A change", [limit(5)])
    check = compare(honest.replace("A change", deceit), [limit(5)])
    assert check.matches is False
    with pytest.raises(Invalid):
        composed(deceit, [limit(5)])


@pytest.mark.parametrize("text", ["Änderung für alle", "Предложение о лимите", "πρόταση", "提案する"])
def test_texts_in_every_language_match(text: str) -> None:
    assert compare(composed(text, [limit(5)]), [limit(5)]).matches is True


def test_a_model_named_in_capitals_is_the_same_model() -> None:
    loud = PROMOTION.replace(MODEL, MODEL.upper())
    steps = [on_model("approve"), on_model("promote")]
    assert compare(loud, steps).matches is True
    assert compare(loud, [on_model("approve", OTHER), on_model("promote", OTHER)]).matches is False
