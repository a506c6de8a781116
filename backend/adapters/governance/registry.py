"""The DAO's decisions, read from ModelRegistry."""

from backend.kernel.errors import Invalid, Unavailable
from backend.ports.chain import Chain
from backend.ports.governance import ModelState


class RegistryGovernance:
    """Reads ModelRegistry at the latest block."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def model_state(self, model_sha256: str) -> ModelState:
        """Return the on-chain state of a model, given its sha256 in hex."""
        found = await self._chain.call("ModelRegistry", "stateOf", model_hash(model_sha256))
        try:
            return ModelState(found)
        except ValueError as error:
            raise Unavailable(f"ModelRegistry answers a state that there is not: {found}") from error


def model_hash(model_sha256: str) -> bytes:
    """Return a model's 32-byte hash; raise Invalid when the text is not a sha256."""
    try:
        found = bytes.fromhex(model_sha256)
    except ValueError as error:
        raise Invalid("a model is named by its sha256 in hex") from error
    if len(found) != 32:
        raise Invalid("a model is named by its sha256 in hex")
    return found
