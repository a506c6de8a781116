"""The governance adapter reads ModelRegistry."""

import pytest

from backend.adapters.governance.registry import RegistryGovernance
from backend.kernel.errors import Invalid, Unavailable
from backend.ports.governance import ModelState
from tests.fakes import FakeChain

SHA256 = "0a" * 32


async def test_the_state_is_the_registrys() -> None:
    chain = FakeChain()
    asked: list[bytes] = []

    def state_of(model: bytes) -> int:
        asked.append(model)
        return 3

    chain.answer("ModelRegistry", "stateOf", state_of)
    assert await RegistryGovernance(chain).model_state(SHA256) is ModelState.PRODUCTION
    assert asked == [bytes.fromhex(SHA256)]


@pytest.mark.parametrize("name", ["", "zz" * 32, "0a" * 31])
async def test_what_is_no_sha256_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        await RegistryGovernance(FakeChain()).model_state(name)


async def test_a_silent_chain_has_no_opinion() -> None:
    chain = FakeChain()
    chain.down = True
    with pytest.raises(Unavailable):
        await RegistryGovernance(chain).model_state(SHA256)


async def test_a_state_that_there_is_not_is_no_opinion_either() -> None:
    chain = FakeChain()
    chain.answer("ModelRegistry", "stateOf", lambda _model: 9)
    with pytest.raises(Unavailable, match="a state that there is not"):
        await RegistryGovernance(chain).model_state(SHA256)
