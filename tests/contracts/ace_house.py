"""Rows of the differential: policies that ACE has nothing for do the same in either engine."""

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.contracts.ace_world import CCID, DAY, KYC, RISK, START, Side, Table

ROWS = Table()
row = ROWS.row
OVER = "PolicyRunRejected(sliding, volume within the window is over the limit)"
CAPPED = "PolicyRunRejected(caps, order is over the account's cap)"
MODEL = keccak(text="a model")
TAG = keccak(text="refi.trading/order-context/1")


def order_context(cumulative: int = 0, is_paper: bool = False) -> bytes:
    """Return the context of an order's check."""
    return bytes(encode(["bytes32", "uint256", "bool"], [TAG, cumulative, is_paper]))


@row("volume slides: what an account traded counts for a day from its own second")
def sliding(side: Side) -> None:
    side.install("sliding:account,notional")
    side.at(START + 10)
    side.order(600)
    side.order(401, refused=OVER)
    side.order(401, account="other")
    side.order(400)
    side.ask("sliding", "volumeOf", side.people["trader"])
    side.at(START + DAY + 5)
    side.order(1, refused=OVER)
    side.at(START + DAY + 11)
    side.order(600)
    side.order(401, refused=OVER)


@row("what was traded off chain and is not settled counts, and once it is settled counts once")
def unsettled(side: Side) -> None:
    settle = keccak(text="settleVolumes((address,uint256)[])")[:4]
    side.install("sliding:account,notional")
    side.do("owner", "engine", "setExtractor", settle, side.address("extractor"))
    side.add("senders", selector=settle)
    side.add("sliding:settlements", selector=settle)
    side.order(401, context=order_context(600), refused=OVER)
    side.order(400, context=order_context(600))
    settlement = ("settleVolumes", [(side.people["trader"], 600)])
    side.do("stranger", "gate", *settlement, refused="PolicyRunRejected(senders")
    side.do("relay", "gate", *settlement)
    side.do("relay", "gate", *settlement)
    side.ask("sliding", "volumeOf", side.people["trader"])
    side.order(1, context=order_context(600), refused=OVER)


@row("an account's cap grows with its age, the last one after a review")
def caps(side: Side) -> None:
    side.install("caps:account,notional")
    side.order(1, refused="PolicyRunRejected(caps, account is not opened)")
    side.do("stranger", "caps", "open", side.people["trader"], refused="NotRegistrar(stranger)")
    side.do("issuer", "caps", "open", side.people["trader"])
    for day, cap in ((0, 100), (3, 500), (7, 5_000), (14, 5_000)):
        side.at(START + day * DAY + 60)
        side.order(cap)
        side.order(cap + 1, refused=CAPPED)
    side.do("guardian", "caps", "recordReview", side.people["trader"], keccak(text="review"))
    side.order(50_000)
    side.order(50_001, refused=CAPPED)


@row("a listed wallet trades no more until it is taken off the list")
def sanctions(side: Side) -> None:
    side.install("sanctions:account")
    side.order()
    side.do("issuer", "sanctions", "list", side.people["trader"], keccak(text="a list"))
    side.order(refused="PolicyRunRejected(sanctions, account is sanctioned)")
    side.order(account="other")
    side.do("issuer", "sanctions", "unlist", side.people["trader"])
    side.order()


@row("a model's orders pass in production only, a revoked model's no more")
def models(side: Side) -> None:
    refused = "PolicyRunRejected(approved, model is not in production)"
    side.install("approved:modelHash")
    side.order(model=MODEL, refused=refused)
    side.order()
    side.do("owner", "models", "propose", MODEL, "cid", keccak(text="features"), "report")
    side.do("owner", "models", "approve", MODEL)
    side.order(model=MODEL, refused=refused)
    side.do("owner", "models", "promote", MODEL)
    side.order(model=MODEL)
    side.do("guardian", "models", "revoke", MODEL)
    side.order(model=MODEL, refused=refused)


@row("an account that trades has its risk attested, in time for the first and lately ever after")
def attested(side: Side) -> None:
    side.install("risk:account", "sliding:account,notional")
    side.order()
    side.at(START + 2 * DAY - 60)
    side.order()
    side.at(START + 2 * DAY + 60)
    side.order(refused="PolicyRunRejected(risk, account's risk is not attested)")
    side.order(account="other")
    today = START // DAY + 2
    side.do("stranger", "attestor", "set", side.people["trader"], keccak(text="another policy"), today)
    side.order(refused="PolicyRunRejected(risk, account's risk is not attested)")
    side.do("stranger", "attestor", "set", side.people["trader"], RISK, today)
    side.order()
    side.at((today + 2) * DAY - 60)
    side.order()
    side.at((today + 2) * DAY + 60)
    side.order(refused="PolicyRunRejected(risk, account's risk attestation is not fresh)")


@row("a paper order is never submitted")
def paper(side: Side) -> None:
    side.install("approved:modelHash")
    side.do("relay", "gate", "setContext", order_context(is_paper=True))
    call = (side.people["trader"], b"T" * 32, 5, MODEL)
    side.do("relay", "gate", "submitOrder", *call, refused="PolicyPostRunError(approved, [PaperOrder()])")


@row("the whole chain of an order, rule by rule")
def whole(side: Side) -> None:
    side.install("pause", "senders", "sanctions:account", "validator:account")
    for policy in ("volume:notional", "sliding:account,notional", "caps:account,notional", "approved:modelHash"):
        side.add(policy)
    side.source(KYC)
    side.require(KYC, KYC)
    side.order(refused="PolicyRunRejected(validator")
    side.know()
    side.order(refused="account is not opened")
    side.do("issuer", "caps", "open", side.people["trader"])
    side.order(100)
    side.order(101, refused=CAPPED)
    side.order(9, refused="PolicyRunRejected(volume")
    side.order(100, context=order_context(900), refused=OVER)
    side.do("relay", "gate", "clearContext")
    side.order(100, model=MODEL, refused="PolicyRunRejected(approved")
    side.do("issuer", "sanctions", "list", side.people["trader"], keccak(text="a list"))
    side.order(refused="PolicyRunRejected(sanctions")
    side.order(sender="stranger", refused="PolicyRunRejected(senders")
    side.do("issuer", "sanctions", "unlist", side.people["trader"])
    side.do("issuer", "credentials", "removeCredential", CCID, KYC, b"")
    side.order(refused="PolicyRunRejected(validator")
