"""An ACE platform's evaluation comes before the engine's verdict; what it does not decide leaves the gate closed."""

from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta
from decimal import Decimal

import pytest

from backend.adapters.policy.ace_platform import PLATFORM, AcePlatform, AcePlatformPolicy
from backend.kernel.errors import Invalid, Unavailable
from backend.ports.policy import OrderCheck
from tests.ace_platform import FakeAcePlatform, served
from tests.backend.pipeline.rooms import FakePolicy
from tests.fakes import FakeChain

GOOD, BAD = "0x" + "11" * 20, "0x" + "22" * 20
RELAY = "0x" + "33" * 20
SELECTOR = "5224473277236331295"
FAST = {"patience": timedelta(seconds=20), "poll": timedelta(seconds=0.01)}
HASTY = {"patience": timedelta(seconds=0.3), "poll": timedelta(seconds=0.01)}


def order(wallet: str = GOOD, notional: str = "100") -> OrderCheck:
    return OrderCheck(wallet, "AAPL", Decimal(notional), None)


class OrderChain(FakeChain):
    """Encodes the one call that the platform is asked about."""

    def calldata(self, contract: str, function: str, *arguments: object) -> bytes:
        """Return selector and words."""
        assert (contract, function) == ("OrderGate", "submitOrder")
        account, instrument, notional, model = arguments
        assert isinstance(account, str)
        assert isinstance(instrument, bytes)
        assert isinstance(notional, int)
        assert isinstance(model, bytes)
        return b"\x12\x34\x56\x78" + bytes(12) + bytes.fromhex(account[2:]) + instrument + notional.to_bytes(32) + model


@pytest.fixture
def platform() -> Iterator[FakeAcePlatform]:
    with served(FakeAcePlatform(rejects={BAD})) as running:
        yield running


@pytest.fixture
def engine() -> FakePolicy:
    return FakePolicy()


@pytest.fixture
async def client(platform: FakeAcePlatform) -> AsyncIterator[AcePlatform]:
    made = AcePlatform(platform.url, platform.api_key, timeout=timedelta(seconds=20))
    yield made
    await made.close()


@pytest.fixture
def policy(engine: FakePolicy, client: AcePlatform) -> AcePlatformPolicy:
    return AcePlatformPolicy(engine, client, OrderChain(), RELAY, SELECTOR, lambda: date(2026, 1, 2), **FAST)


async def test_a_ready_evaluation_leaves_the_last_word_to_the_engine(
    policy: AcePlatformPolicy, platform: FakeAcePlatform, engine: FakePolicy
) -> None:
    assert (await policy.check(order())).allowed
    engine.refuses[GOOD] = ("VolumePolicy", "too much")
    refused = await policy.check(order())
    assert (refused.allowed, refused.policy) == (False, "VolumePolicy")
    question = next(iter(platform.asked.values()))
    assert question["caller_address"] == RELAY
    assert question["function_signature"] == "submitOrder(address,bytes32,uint256,bytes32)"
    assert [word[:10] for word in question["parameters"]] == ["0x00000000", "0x4141504c", "0x00000000", "0x00000000"]


async def test_a_rejected_evaluation_refuses_what_the_engine_would_allow(
    policy: AcePlatformPolicy, engine: FakePolicy
) -> None:
    good, bad = await policy.check_all([order(), order(BAD)])
    assert good.allowed
    assert (bad.allowed, bad.policy) == (False, PLATFORM)
    assert bad.reason.startswith("evaluation 0x")
    assert [asked.subject for asked in engine.asked] == [GOOD, BAD]


async def test_the_same_question_is_one_evaluation_and_another_is_another(
    policy: AcePlatformPolicy, platform: FakeAcePlatform
) -> None:
    for asked in (order(), order(), order(notional="101")):
        await policy.check(asked)
    assert len(platform.asked) == 2
    assert sorted(platform.polls.values()) == [1, 1], "a decided evaluation is not polled again"


@pytest.mark.parametrize("polls", [0, 1, 3])
async def test_an_evaluation_is_polled_until_it_is_decided(
    policy: AcePlatformPolicy, platform: FakeAcePlatform, polls: int
) -> None:
    platform.polls_until_decided = polls
    assert (await policy.check(order())).allowed
    assert sum(platform.polls.values()) == polls


async def test_what_is_not_decided_in_time_is_no_answer(
    client: AcePlatform, platform: FakeAcePlatform, engine: FakePolicy
) -> None:
    platform.polls_until_decided = 10**9
    policy = AcePlatformPolicy(engine, client, OrderChain(), RELAY, SELECTOR, lambda: date(2026, 1, 2), **HASTY)
    with pytest.raises(Unavailable, match="in time"):
        await policy.check(order())
    assert engine.asked == []


async def test_a_failed_evaluation_is_no_answer(policy: AcePlatformPolicy, platform: FakeAcePlatform) -> None:
    platform.fails = True
    with pytest.raises(Unavailable, match="failed"):
        await policy.check(order())


LIES = {
    "an error": (500, b'{"permit_id": "0x1", "status": "ready"}'),
    "a redirect": (302, b"{}"),
    "a conflict": (409, b'{"permit_id": "0x1", "status": "ready"}'),
    "no JSON": (200, b"ready"),
    "a list": (200, b'["ready"]'),
    "no permit": (200, b'{"status": "ready"}'),
    "a number as permit": (200, b'{"permit_id": 1, "status": "ready"}'),
    "another status": (200, b'{"permit_id": "0x1", "status": "approved"}'),
    "no status": (200, b'{"permit_id": "0x1"}'),
    "depth": (200, b"[" * 50_000 + b"]" * 50_000),
    "length": (200, b'{"permit_id": "0x1", "status": "ready", "more": "' + b"x" * 70_000 + b'"}'),
}


@pytest.mark.parametrize("lie", LIES)
async def test_an_answer_that_is_none_leaves_the_gate_closed(
    policy: AcePlatformPolicy, platform: FakeAcePlatform, engine: FakePolicy, lie: str
) -> None:
    platform.raw = LIES[lie]
    with pytest.raises(Unavailable):
        await policy.check(order())
    assert engine.asked == []


async def test_a_platform_that_is_away_or_refuses_the_key_leaves_the_gate_closed(
    platform: FakeAcePlatform, engine: FakePolicy
) -> None:
    for url, key, why in (
        ("http://127.0.0.1:1", "platform-key", "does not answer"),
        (platform.url, "stolen", "answers 401"),
    ):
        client = AcePlatform(url, key, timeout=timedelta(seconds=20))
        policy = AcePlatformPolicy(engine, client, OrderChain(), RELAY, SELECTOR, lambda: date(2026, 1, 2), **FAST)
        with pytest.raises(Unavailable, match=why) as failed:
            await policy.check(order())
        assert key not in str(failed.value)
        await client.close()


def test_only_http_is_asked() -> None:
    with pytest.raises(Invalid):
        AcePlatform("file:///etc/passwd", "key")
