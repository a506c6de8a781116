"""Rate limits."""

import asyncio
import socket
from datetime import timedelta

import pytest

from backend.kernel.errors import Unavailable
from backend.kit.limits import MemoryLimiter, RedisLimiter

SECOND = timedelta(seconds=1)


async def test_the_window_moves() -> None:
    now = [0.0]
    limiter = MemoryLimiter(lambda: now[0])
    answers = []
    for moment in (0.0, 0.4, 0.9, 1.0, 1.3, 1.41):
        now[0] = moment
        answers.append(await limiter.allow("client", 2, SECOND))
    assert answers == [True, True, False, True, False, True]


async def test_one_client_does_not_use_up_anothers_attempts() -> None:
    limiter = MemoryLimiter()
    assert await limiter.allow("one", 1, SECOND)
    assert not await limiter.allow("one", 1, SECOND)
    assert await limiter.allow("two", 1, SECOND)


async def test_memory_stays_bounded() -> None:
    limiter = MemoryLimiter(capacity=10)
    for number in range(100):
        await limiter.allow(str(number), 1, SECOND)
    assert len(limiter._hits) == 10


async def test_parallel_processes_share_one_exact_count(redis_url: str) -> None:
    limiters = [RedisLimiter(redis_url) for _ in range(4)]
    answers = await asyncio.gather(*(limiters[number % 4].allow("client", 10, 60 * SECOND) for number in range(40)))
    assert sum(answers) == 10
    assert await limiters[0].allow("other", 10, 60 * SECOND)
    for limiter in limiters:
        await limiter.close()


async def test_the_shared_window_moves(redis_url: str) -> None:
    limiter = RedisLimiter(redis_url)
    window = timedelta(milliseconds=80)
    assert await limiter.allow("client", 1, window)
    assert not await limiter.allow("client", 1, window)
    await asyncio.sleep(0.1)
    assert await limiter.allow("client", 1, window)
    await limiter.close()


async def test_a_limiter_without_its_server_says_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    limiter = RedisLimiter(f"redis://127.0.0.1:{port}/0")
    with pytest.raises(Unavailable):
        await limiter.allow("client", 1, SECOND)
    await limiter.close()
