"""Rate limits: a moving window per key, in memory or shared through Redis."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError

from backend.kernel.errors import Unavailable

# Time comes from the server, so that every process counts in one window.
MOVING_WINDOW = """
local now = redis.call('TIME')
local micros = now[1] * 1000000 + now[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', micros - tonumber(ARGV[1]))
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], micros, ARGV[3])
redis.call('PEXPIRE', KEYS[1], math.ceil(tonumber(ARGV[1]) / 1000))
return 1
"""


class Limiter(Protocol):
    """Counts attempts; raises Unavailable when it cannot, so that what it guards stays closed."""

    async def allow(self, key: str, limit: int, window: timedelta) -> bool:
        """Take one of the key's attempts within the window; False when they are used up."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


class MemoryLimiter:
    """Counts within one process; the keys that were quiet longest are forgotten beyond `capacity`."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, capacity: int = 10_000) -> None:
        self._monotonic = monotonic
        self._capacity = capacity
        self._hits: OrderedDict[str, deque[float]] = OrderedDict()

    async def allow(self, key: str, limit: int, window: timedelta) -> bool:
        """Take one of the key's attempts within the window."""
        now = self._monotonic()
        hits = self._hits.setdefault(key, deque())
        self._hits.move_to_end(key)
        while len(self._hits) > self._capacity:
            self._hits.popitem(last=False)
        while hits and hits[0] <= now - window.total_seconds():
            hits.popleft()
        if len(hits) >= limit:
            return False
        hits.append(now)
        return True

    async def close(self) -> None:
        """Forget every count."""
        self._hits.clear()


class RedisLimiter:
    """Counts across processes."""

    def __init__(self, url: str, timeout: timedelta = timedelta(seconds=1)) -> None:
        seconds = timeout.total_seconds()
        self._redis = Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds)
        self._script = self._redis.register_script(MOVING_WINDOW)

    async def allow(self, key: str, limit: int, window: timedelta) -> bool:
        """Take one of the key's attempts within the window."""
        micros = window // timedelta(microseconds=1)
        try:
            return bool(await self._script(keys=[f"refi:limit:{key}"], args=[micros, limit, uuid4().hex]))
        except (RedisError, OSError) as error:
            raise Unavailable("the rate limiter does not answer") from error

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()
