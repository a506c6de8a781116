"""What a model submission must hold, the proposal that promotes it, and the arguments of a voter's calls."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from backend.governance.types import ModelCids, ModelFiles, Proposal
from backend.kernel.canonical import canonical_json, parse_canonical
from backend.kernel.errors import Invalid

FILE_NAMES = {
    "model.safetensors": "weights",
    "model.json": "description",
    "model.ts": "torchscript",
    "card.json": "card",
    "report.json": "report",
}
# GovernorCountingSimple.VoteType
VOTES: Mapping[str, int] = {"against": 0, "for": 1, "abstain": 2}
ProposalCall = tuple[list[str], list[int], list[bytes]]


def model_files(files: Mapping[str, bytes]) -> ModelFiles:
    """Return a model from exactly its five files, by name; raise Invalid where they do not fit together."""
    if set(files) != set(FILE_NAMES):
        raise Invalid(f"a model is exactly these files: {', '.join(sorted(FILE_NAMES))}")
    if empty := [name for name, content in files.items() if not content]:
        raise Invalid(f"{', '.join(sorted(empty))} is empty")
    weights, description = files["model.safetensors"], files["model.json"]
    return ModelFiles(
        weights=weights,
        description=description,
        torchscript=files["model.ts"],
        card=files["card.json"],
        report=files["report.json"],
        feature_schema_sha256=_feature_schema_sha256(description),
        sha256=sha256(weights + description).hexdigest(),
    )


def promotion(
    governor: str,
    registry: str,
    calldatas: Sequence[bytes],
    model_sha256: str,
    cids: ModelCids,
    *,
    attempt: int = 1,
    proposer: str = "",
) -> Proposal:
    """Return the proposal that approves and promotes a model; its text names everything that voters may check.

    Another attempt, or another proposer, makes it another proposal. A proposer's name at the end of a text keeps
    everybody else from sending the proposal first, and cancelling it (OpenZeppelin's Governor, "#proposer=").
    """
    lines = "\n".join(
        (
            f"Promote model {model_sha256} to production",
            "",
            f"sha256 (safetensors, then model.json): {model_sha256}",
            f"weights: ipfs://{cids.weights}",
            f"description: ipfs://{cids.description}",
            f"TorchScript: ipfs://{cids.torchscript}",
            f"model card: ipfs://{cids.card}",
            f"evaluation report: ipfs://{cids.report}",
            *([f"attempt: {attempt}"] if attempt > 1 else []),
        )
    )
    description = described(lines, proposer)
    return Proposal(
        governor=to_checksum_address(governor),
        targets=(to_checksum_address(registry),) * len(calldatas),
        values=(0,) * len(calldatas),
        calldatas=tuple(calldatas),
        description=description,
    )


def described(text: str, proposer: str = "") -> str:
    """Return a text that only its proposer can propose, where one is named."""
    return f"{text}\n\n#proposer={to_checksum_address(proposer)}" if proposer else text


def description_hash(proposal: Proposal) -> bytes:
    """Return the keccak256 by which Governor knows a description."""
    # A proposer may write bytes that are no text: they come as surrogates and are hashed as they were.
    return keccak(proposal.description.encode("utf-8", "surrogateescape"))


def proposal_id(proposal: Proposal) -> int:
    """Return Governor.hashProposal of a proposal."""
    return hashed(_call(proposal), description_hash(proposal))


def hashed(call: ProposalCall, text_hash: bytes) -> int:
    """Return Governor.hashProposal: keccak256(abi.encode(targets, values, calldatas, description hash))."""
    values = [*call, text_hash]
    return int.from_bytes(keccak(encode(["address[]", "uint256[]", "bytes[]", "bytes32"], values)), "big")


def proposal_answer(proposal: Proposal) -> dict[str, Any]:
    """Return a proposal as JSON: what the service answers and a wallet signs."""
    return {
        "governor": proposal.governor,
        "targets": list(proposal.targets),
        "values": [str(value) for value in proposal.values],
        "calldatas": ["0x" + call.hex() for call in proposal.calldatas],
        "description": proposal.description,
        "description_hash": "0x" + description_hash(proposal).hex(),
    }


def proposal_from(answer: Mapping[str, Any]) -> Proposal:
    """Return the proposal of a service's answer; raise Invalid when its parts do not fit together."""
    try:
        proposal = Proposal(
            governor=to_checksum_address(answer["governor"]),
            targets=tuple(to_checksum_address(target) for target in answer["targets"]),
            values=tuple(int(value) for value in answer["values"]),
            calldatas=tuple(bytes.fromhex(call.removeprefix("0x")) for call in answer["calldatas"]),
            description=str(answer["description"]),
        )
        claimed = bytes.fromhex(answer["description_hash"].removeprefix("0x"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Invalid("not a proposal") from error
    if not len(proposal.targets) == len(proposal.values) == len(proposal.calldatas) > 0:
        raise Invalid("a proposal has as many targets as values and calls")
    if any(not 0 <= value < 2**256 for value in proposal.values):
        raise Invalid("a call sends less than 2^256 wei")
    if any("\ud800" <= character <= "\udfff" for character in proposal.description):
        raise Invalid("the description is not text in Unicode")
    if claimed != description_hash(proposal):
        raise Invalid("the description is not the one that was hashed")
    return proposal


def propose_arguments(proposal: Proposal) -> tuple[list[str], list[int], list[bytes], str]:
    """Return the arguments of Governor.propose."""
    return (*_call(proposal), proposal.description)


def vote_arguments(proposal: Proposal, support: Literal["against", "for", "abstain"]) -> tuple[int, int]:
    """Return the arguments of Governor.castVote."""
    return proposal_id(proposal), VOTES[support]


def settle_arguments(proposal: Proposal) -> tuple[list[str], list[int], list[bytes], bytes]:
    """Return the arguments of Governor.queue and of Governor.execute."""
    return (*_call(proposal), description_hash(proposal))


def _call(proposal: Proposal) -> ProposalCall:
    return list(proposal.targets), list(proposal.values), list(proposal.calldatas)


def _feature_schema_sha256(description: bytes) -> str:
    content = parse_canonical(description)
    if not isinstance(content, Mapping):
        raise Invalid("model.json is not an object")
    schema, claimed = content.get("feature_schema"), content.get("feature_schema_sha256")
    if schema is None or claimed is None:
        raise Invalid("model.json names no feature schema")
    if sha256(canonical_json(schema)).hexdigest() != claimed:
        raise Invalid("the feature schema does not match its hash")
    return str(claimed)
