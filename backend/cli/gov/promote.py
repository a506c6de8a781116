"""A trained model on its way to the DAO's vote."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.cli.gov.steps import OPERATOR, Hand
from backend.governance.engine import FILE_NAMES, proposal_answer
from backend.governance.service import ModelService, ProposalService
from backend.governance.types import GovernedModel
from backend.kernel.errors import Invalid

if TYPE_CHECKING:
    from backend.bootstrap import Platform


def model_files_in(folder: Path) -> Mapping[str, bytes]:
    """Return a model's files; raise Invalid that names those that are missing."""
    missing = [name for name in sorted(FILE_NAMES) if not (folder / name).is_file()]
    if missing:
        raise Invalid(f"{folder} lacks {', '.join(missing)}: `refi agent train --out {folder}` writes all of them")
    return {name: (folder / name).read_bytes() for name in FILE_NAMES}


def named_model(text: str) -> str | Mapping[str, bytes]:
    """Return the sha256, or the files, that an argument names; raise Invalid."""
    if re.fullmatch(r"(0x)?[0-9a-f]{64}", text):
        return text.removeprefix("0x")
    if not Path(text).is_dir():
        raise Invalid(f"{text!r} is neither a model's sha256 (64 hex digits) nor a folder with its files")
    return model_files_in(Path(text))


async def promote(platform: "Platform", named: str | Mapping[str, bytes], hand: Hand) -> dict[str, Any]:
    """Submit a model, write its proposal, and send it where the key at hand has the votes for it."""
    models: ModelService = platform.service(ModelService)
    service: ProposalService = platform.service(ProposalService)
    sender = hand.sender(platform)
    power = await service.power(sender)
    # A text that names its proposer can be sent, and so be cancelled, by nobody else.
    proposer = sender if power.is_able_to_propose or hand.unsigned_for else ""
    async with platform.database.transaction() as session:
        model = await _submitted(models, session, named, proposer)
    state = await models.proposal_state(model)
    found: dict[str, Any] = {
        "model": model.sha256,
        "model_state": (await models.on_chain(model)).state.name.lower(),
        "proposal_id": str(model.proposal_id),
        "proposal_state": state.name.lower() if state is not None else None,
        "proposal": proposal_answer(model.proposal),
    }
    if state is not None:
        return found
    act = service.propose(model.proposal)
    if hand.unsigned_for or power.is_able_to_propose:
        return found | await hand.take(platform, act)
    # Whoever has the votes signs this; the chain would refuse it from here, so that no gas is known.
    call = service.call_of(act)
    unsigned = {"to": call.target, "data": "0x" + call.data.hex(), "value": "0", "chain_id": platform.settings.chain_id}
    return found | {"transaction": unsigned | {"from": None, "gas": None}, "threshold": str(await service.threshold())}


async def _submitted(
    models: ModelService, session: Any, named: str | Mapping[str, bytes], proposer: str
) -> GovernedModel:
    if isinstance(named, str):
        return await models.ask_again(session, await models.find(session, named), OPERATOR, proposer)
    return await models.submit(session, named, OPERATOR, proposer)
