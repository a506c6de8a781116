"""Rows of the differential: what single policies refuse, permits among them."""

from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.contracts.ace_world import DAY, NO_MODEL, START, TICKER, ZERO, Differs, Side, Table

ROWS = Table()
row = ROWS.row
NOT_OWNER = "OwnableUnauthorizedAccount(stranger)"
NAMED = "named errors instead of sentences"
HOUR = 3600
ISSUER, ROGUE = keccak(text="a permit issuer"), keccak(text="a rogue issuer")
PERMIT = "(bytes32,address,address,bytes4,bytes[],bytes,uint64,uint48)"
ID, SECOND_ID = keccak(text="permit 1"), keccak(text="permit 2")
IN_CONTEXT = "PolicyRunRejected(permits, invalid signed permit in context)"
PRESENTED = "PolicyRunRejected(permits, no valid pre-presented permit found)"
NONE_FOUND = "PolicyRunRejected(permits, no valid permit found)"


@row("an order above the maximum is refused, the maximum itself passes")
def maximum(side: Side) -> None:
    side.install("max:notional")
    side.order(1_000)
    side.order(1_001, refused="PolicyRunRejected(max, amount exceeds maximum limit)")
    side.order(0)
    side.ask("max", "getMax")
    side.do("stranger", "max", "setMax", 5, refused=NOT_OWNER)


@row("another maximum holds from the next order on")
def another_maximum(side: Side) -> None:
    side.install("max:notional")
    heard = Differs(None, None, "a changed maximum is told by an event")
    side.do("owner", "max", "setMax", 5, refused=heard)
    side.order(6, refused="amount exceeds maximum limit")
    side.order(5)
    side.do("owner", "max", "setMax", 0, refused=heard)
    side.order(1, refused="amount exceeds maximum limit")
    side.order(0)


@row("a maximum policy that is given another number of parameters fails")
def maximum_parameters(side: Side) -> None:
    side.install("max:notional,account")
    side.order(refused="PolicyRunError(max, [InvalidParameters(expected 1 parameter)])")


@row("an order under the minimum or over the maximum is refused, both limits pass")
def volume(side: Side) -> None:
    side.install("volume:notional")
    outside = "PolicyRunRejected(volume, amount outside allowed volume limits)"
    side.order(9, refused=outside)
    side.order(10)
    side.order(1_000)
    side.order(1_001, refused=outside)
    side.do("owner", "volume", "setMin", 500)
    side.order(499, refused=outside)
    side.do("owner", "volume", "setMax", 600)
    side.order(601, refused=outside)
    side.do("owner", "volume", "setMax", 0)
    side.order(10**30)
    side.do("owner", "volume", "setMin", 0)
    side.order(0)
    side.ask("volume", "getMin")
    side.ask("volume", "getMax")


@row("limits that leave nothing between them, or change nothing, are refused")
def volume_limits(side: Side) -> None:
    crossed = "InvalidLimits("
    side.do("owner", "volume", "setMin", 1_000, refused=Differs(crossed, "Error(minAmount must be less", NAMED))
    side.do("owner", "volume", "setMax", 10, refused=Differs(crossed, "Error(maxAmount must be greater", NAMED))
    side.do("owner", "volume", "setMin", 10, refused=Differs("Unchanged()", "Error(minAmount cannot be", NAMED))
    side.do("owner", "volume", "setMax", 1_000, refused=Differs("Unchanged()", "Error(maxAmount cannot be", NAMED))
    side.do("stranger", "volume", "setMin", 5, refused=NOT_OWNER)


@row("nobody but the owner moves the upper limit of volumes")
def volume_owner(side: Side) -> None:
    steward = Differs("NotOwnerOrSteward(stranger)", NOT_OWNER, "a steward may move the upper limit of volumes too")
    side.do("stranger", "volume", "setMax", 5, refused=steward)


@row("listed senders call, others do not")
def senders(side: Side) -> None:
    side.install("senders")
    side.order()
    side.order(sender="other", refused="PolicyRunRejected(senders, sender is not authorized)")
    side.do("owner", "senders", "authorizeSender", side.people["other"])
    side.order(sender="other")
    side.do("owner", "senders", "unauthorizeSender", side.people["other"])
    side.order(sender="other", refused="sender is not authorized")
    side.ask("senders", "senderAuthorized", side.people["relay"])
    side.do("stranger", "senders", "authorizeSender", side.people["stranger"], refused=NOT_OWNER)
    twice = Differs("Unchanged()", "Error(Account already in authorized list)", NAMED)
    side.do("owner", "senders", "authorizeSender", side.people["relay"], refused=twice)
    never = Differs("Unchanged()", "Error(Account not in authorized list)", NAMED)
    side.do("owner", "senders", "unauthorizeSender", side.people["other"], refused=never)


@row("an allow list refuses accounts outside it and asks the rest of the chain about those inside")
def allow(side: Side) -> None:
    side.install("allow:account", "max:notional")
    side.order(refused="PolicyRunRejected(allow, address is not on allow list)")
    side.do("owner", "allow", "allowAddress", side.people["trader"])
    side.order()
    side.order(5_000, refused="PolicyRunRejected(max")
    side.order(account="other", refused="address is not on allow list")
    side.ask("allow", "addressAllowed", side.people["trader"])
    side.do("owner", "allow", "disallowAddress", side.people["trader"])
    side.order(refused="address is not on allow list")
    side.do("stranger", "allow", "allowAddress", side.people["stranger"], refused=NOT_OWNER)
    never = Differs("Unchanged()", "Error(Account not in allow list)", NAMED)
    side.do("owner", "allow", "disallowAddress", side.people["trader"], refused=never)


@row("a reject list refuses accounts on it and no others")
def reject(side: Side) -> None:
    side.install("reject:account")
    side.order()
    side.do("owner", "reject", "rejectAddress", side.people["trader"])
    side.order(refused="PolicyRunRejected(reject, address is on reject list)")
    side.order(account="other")
    side.ask("reject", "addressRejected", side.people["trader"])
    twice = Differs("Unchanged()", "Error(Account already in reject list)", NAMED)
    side.do("owner", "reject", "rejectAddress", side.people["trader"], refused=twice)
    side.do("owner", "reject", "unrejectAddress", side.people["trader"])
    side.order()
    side.do("stranger", "reject", "rejectAddress", side.people["stranger"], refused=NOT_OWNER)


@row("a list that is given no address fails")
def lists_without_parameters(side: Side) -> None:
    for policy in ("allow", "bypass", "reject"):
        side.install(policy)
        side.order(refused=f"PolicyRunError({policy}, [InvalidParameters(expected at least 1 parameter)])")
        side.do("owner", "engine", "removePolicy", side.address("gate"), side.submit, side.address(policy))


@row("a caller needs a role that may perform the function")
def roles(side: Side) -> None:
    side.install("role")
    desk, lacks = keccak(text="DESK"), "PolicyRunRejected(role, caller lacks required role for operation)"
    side.order(refused=lacks)
    side.do("owner", "role", "grantRole", desk, side.people["relay"])
    side.order(refused=lacks)
    side.do("owner", "role", "grantOperationAllowanceToRole", side.submit, desk)
    side.order()
    side.ask("role", "hasAllowedRole", side.submit, side.people["relay"])
    side.order(sender="other", refused=lacks)
    side.do("owner", "role", "grantOperationAllowanceToRole", b"\x01\x02\x03\x04", keccak(text="OTHER"))
    side.do("owner", "role", "grantRole", keccak(text="OTHER"), side.people["other"])
    side.order(sender="other", refused=lacks)
    side.do("owner", "role", "removeOperationAllowanceFromRole", side.submit, desk)
    side.order(refused=lacks)
    side.do("owner", "role", "grantOperationAllowanceToRole", side.submit, desk)
    side.do("owner", "role", "revokeRole", desk, side.people["relay"])
    side.order(refused=lacks)


@row("nobody but the owner says what roles may do, and nobody but the default admin who has them")
def role_owners(side: Side) -> None:
    desk = keccak(text="DESK")
    for function in ("grantOperationAllowanceToRole", "removeOperationAllowanceFromRole"):
        side.do("stranger", "role", function, side.submit, desk, refused=NOT_OWNER)
    grant = ("grantRole", desk, side.people["stranger"])
    side.do("stranger", "role", *grant, refused="AccessControlUnauthorizedAccount(stranger")


@row("a role's allowance that changes nothing is refused")
def role_twice(side: Side) -> None:
    desk = keccak(text="DESK")
    side.do("owner", "role", "grantOperationAllowanceToRole", side.submit, desk)
    twice = Differs("Unchanged()", "Error(Role already has operation allowance)", NAMED)
    side.do("owner", "role", "grantOperationAllowanceToRole", side.submit, desk, refused=twice)
    never = Differs("Unchanged()", "Error(", NAMED)
    side.do("owner", "role", "removeOperationAllowanceFromRole", side.submit, keccak(text="X"), refused=never)


@row("a role policy that is given a parameter fails")
def role_parameters(side: Side) -> None:
    side.install("role:account")
    side.order(refused="PolicyRunError(role, [InvalidParameters(expected 0 parameters)])")


@row("orders pass inside the interval only: from its first second to the last before its end, in every cycle")
def interval(side: Side) -> None:
    side.install("interval")
    outside = "PolicyRunRejected(interval, execution outside allowed time interval)"
    for day in (1, 2):
        midnight = START + day * DAY
        for moment, refused in ((9 * HOUR - 2, outside), (9 * HOUR, None), (17 * HOUR - 2, None), (17 * HOUR, outside)):
            side.at(midnight + moment)
            side.order(refused=refused)


@row("weekdays are slots of a day in a cycle of seven, moved by an offset")
def weekdays(side: Side) -> None:
    side.do("owner", "interval", "setStartSlot", 1)
    side.do("owner", "interval", "setEndSlot", 6)
    side.do("owner", "interval", "setCycleParameters", DAY, 7, 4)
    side.install("interval")
    for day in range(8):
        side.at(START + (day + 1) * DAY)
        side.order(refused="outside allowed time interval" if day in (1, 2) else None)
    side.ask("interval", "getStartSlot")
    side.ask("interval", "getEndSlot")
    side.ask("interval", "getCycleParameters")


@row("an interval that is empty or leaves its cycle is refused")
def intervals_refused(side: Side) -> None:
    for call, theirs in (
        (("setStartSlot", 17), "New start slot must be < end slot"),
        (("setEndSlot", 9), "End slot must be greater than start slot"),
        (("setEndSlot", 25), "End slot must be <= cycle size"),
        (("setCycleParameters", 0, 24, 0), "Slot duration must be > 0"),
        (("setCycleParameters", HOUR, 16, 0), "New cycle size must be >= end slot"),
        (("setCycleParameters", HOUR, 24, 24), "Cycle offset must be < cycle size"),
    ):
        side.do("owner", "interval", *call, refused=Differs("InvalidInterval(", f"Error({theirs}", NAMED))
        side.do("stranger", "interval", *call, refused=NOT_OWNER)


def permit(side: Side, **changes: Any) -> tuple[Any, ...]:
    """Return a permit for one order of 100 by the relay, with the given fields in place of its own."""
    fields = {
        "id": ID,
        "caller": side.people["relay"],
        "subject": side.address("gate"),
        "selector": side.submit,
        "parameters": [encode(["address"], [side.people["trader"]]), encode(["uint256"], [100])],
        "metadata": b"case 7",
        "maxUses": 1,
        "expiry": START + DAY,
    }
    return tuple((fields | changes).values())


def signed(side: Side, given: tuple[Any, ...], key: bytes = ISSUER, s_is_high: bool = False) -> bytes:
    """Return the context with a signed permit."""
    return bytes(encode([f"({PERMIT},bytes)"], [(given, side.sign(key, given, s_is_high))]))


def issuer_key(side: Side, key: bytes = ISSUER) -> bytes:
    """Return what names an issuer."""
    return bytes(encode(["address"], [side.signer(key)]))


def demand_permits(side: Side) -> None:
    """Ask for permits that name account and notional."""
    side.install("permits:account,notional")
    side.do("owner", "permits", "allowIssuer", issuer_key(side))


@row("a permit in the context lets one order pass, and not a second")
def permit_in_context(side: Side) -> None:
    demand_permits(side)
    side.order(refused=NONE_FOUND)
    context = signed(side, permit(side))
    side.order(context=context)
    side.ask("permits", "getUsage", ID)
    side.order(refused=NONE_FOUND)
    side.order(context=context, refused=IN_CONTEXT)


@row("a permit for two uses is used twice; one without a number as often as asked")
def permit_uses(side: Side) -> None:
    demand_permits(side)
    twice = signed(side, permit(side, maxUses=2))
    side.order(context=twice)
    side.order(context=twice)
    side.order(context=twice, refused=IN_CONTEXT)
    ever = signed(side, permit(side, id=SECOND_ID, maxUses=0))
    for _ in range(3):
        side.order(context=ever)
    side.ask("permits", "getUsage", SECOND_ID)


@row("a permit ends after its last second, one without an end never")
def permit_expiry(side: Side) -> None:
    demand_permits(side)
    side.at(START + DAY - 2)
    context = signed(side, permit(side, maxUses=0))
    side.order(context=context)
    side.at(START + DAY + 1)
    side.order(context=context, refused=IN_CONTEXT)
    side.at(START + 1000 * DAY)
    side.order(context=signed(side, permit(side, id=SECOND_ID, expiry=0)))


@row("a permit is for its caller, its contract, its function and its parameters")
def permit_for_others(side: Side) -> None:
    demand_permits(side)
    account, notional = permit(side)[4]
    for changes in (
        {"caller": side.people["other"]},
        {"subject": side.address("other gate")},
        {"selector": b"\x01\x02\x03\x04"},
        {"parameters": [account, encode(["uint256"], [101])]},
        {"parameters": [encode(["address"], [side.people["other"]]), notional]},
        {"parameters": [account]},
        {"parameters": [account, notional, notional]},
    ):
        side.order(context=signed(side, permit(side, **changes)), refused=IN_CONTEXT)
    side.order(context=signed(side, permit(side)))


@row("a permit that somebody else signed, or that was altered after signing, lets nothing pass")
def permit_forged(side: Side) -> None:
    demand_permits(side)
    side.order(context=signed(side, permit(side), ROGUE), refused=IN_CONTEXT)
    signature = side.sign(ISSUER, permit(side))
    for changes in ({"id": SECOND_ID}, {"maxUses": 9}, {"expiry": 0}, {"metadata": b"case 8"}):
        context = encode([f"({PERMIT},bytes)"], [(permit(side, **changes), signature)])
        side.order(context=bytes(context), refused=IN_CONTEXT)


@row("a signature whose s is high, that is too short or that recovers nobody is refused")
def permit_malformed(side: Side) -> None:
    demand_permits(side)
    malformed = "PolicyRunError(permits, [InvalidSignatureFormat("
    side.order(context=signed(side, permit(side), s_is_high=True), refused=malformed)
    for signature in (b"", bytes(64), bytes(65)):
        context = encode([f"({PERMIT},bytes)"], [(permit(side), signature)])
        side.order(context=bytes(context), refused=malformed)


@row("a context that is no permit fails")
def permit_garbled(side: Side) -> None:
    demand_permits(side)
    side.order(context=b"\x07", refused="PolicyRunError(permits, [nothing])")


@row("a permit signed for another contract or another chain lets nothing pass")
def permit_elsewhere(side: Side) -> None:
    demand_permits(side)
    given = permit(side)
    for signature in (side.sign(ISSUER, given, chain_id=1), side.sign(ISSUER, given, contract="gate")):
        side.order(context=bytes(encode([f"({PERMIT},bytes)"], [(given, signature)])), refused=IN_CONTEXT)


@row("a permit presented beforehand needs no context, and then no context helps")
def permit_presented(side: Side) -> None:
    demand_permits(side)
    given = permit(side)
    side.do("stranger", "permits", "present", given, side.sign(ISSUER, given))
    side.order(101, refused=NONE_FOUND)
    side.order(sender="other", refused=NONE_FOUND)
    side.order()
    side.ask("permits", "getUsage", ID)
    side.order(refused=PRESENTED)
    side.order(context=signed(side, permit(side, id=SECOND_ID)), refused=PRESENTED)
    another = permit(side, id=SECOND_ID)
    side.do("stranger", "permits", "present", another, side.sign(ISSUER, another))
    side.order()


@row("a permit is presented once, by anybody, and only while it is good")
def permit_presented_badly(side: Side) -> None:
    demand_permits(side)
    given, late = permit(side), permit(side, id=SECOND_ID, expiry=START - 1)
    side.do("relay", "permits", "present", given, side.sign(ROGUE, given), refused="InvalidSignature(")
    over = Differs("PermitExpired(", None, "a permit that is over takes no good one's place")
    side.do("relay", "permits", "present", late, side.sign(ISSUER, late), refused=over)
    high = side.sign(ISSUER, given, s_is_high=True)
    side.do("relay", "permits", "present", given, high, refused="InvalidSignatureFormat(")
    side.do("relay", "permits", "present", given, side.sign(ISSUER, given))
    again = "PermitAlreadyPresented("
    side.do("relay", "permits", "present", given, side.sign(ISSUER, given), refused=again)


@row("a presented permit ends at its end")
def permit_presented_expires(side: Side) -> None:
    demand_permits(side)
    given = permit(side, maxUses=0)
    side.do("stranger", "permits", "present", given, side.sign(ISSUER, given))
    side.at(START + DAY - 1)
    side.order()
    side.at(START + DAY + 1)
    side.order(refused=PRESENTED)


@row("a permit that was used in a context and is presented then has only the rest of its uses")
def permit_used_then_presented(side: Side) -> None:
    demand_permits(side)
    given = permit(side, maxUses=2)
    side.order(context=signed(side, given))
    side.do("stranger", "permits", "present", given, side.sign(ISSUER, given))
    side.order()
    side.order(refused=PRESENTED)
    side.ask("permits", "getUsage", ID)


@row("a permit that another displaced comes back with the rest of its uses")
def displaced(side: Side) -> None:
    demand_permits(side)
    lasting, brief = permit(side, maxUses=2), permit(side, id=SECOND_ID)
    for given in (lasting, brief):
        side.do("stranger", "permits", "present", given, side.sign(ISSUER, given))
    side.order()
    side.order(refused=PRESENTED)
    gone = Differs(None, "PermitAlreadyPresented(", "a displaced permit may come back")
    side.do("stranger", "permits", "present", lasting, side.sign(ISSUER, lasting), refused=gone)
    side.ask("permits", "getUsage", SECOND_ID)


@row("a revoked permit is worthless, whether presented or not")
def permit_revoked(side: Side) -> None:
    demand_permits(side)
    given, other = permit(side), permit(side, id=SECOND_ID)
    side.do("stranger", "permits", "revoke", ID, refused=NOT_OWNER)
    side.do("owner", "permits", "revoke", ID)
    lives = Differs("False", "True", "a permit is checked for whether it would be accepted now")
    side.ask("permits", "check", given, side.sign(ISSUER, given), answer=lives)
    side.order(context=signed(side, given), refused=IN_CONTEXT)
    revoked = "PermitAlreadyRevoked("
    side.do("stranger", "permits", "present", given, side.sign(ISSUER, given), refused=revoked)
    side.do("stranger", "permits", "present", other, side.sign(ISSUER, other))
    side.do("owner", "permits", "revoke", SECOND_ID)
    side.order(refused=PRESENTED)


@row("an issuer that is not allowed any more signs in vain, and what was presented of it counts no more")
def issuers(side: Side) -> None:
    demand_permits(side)
    key, given = issuer_key(side), permit(side)
    side.ask("permits", "getIssuerAllowed", key)
    side.do("owner", "permits", "allowIssuer", key, refused="IssuerAllowedAlreadySet(")
    side.do("stranger", "permits", "allowIssuer", key, refused=NOT_OWNER)
    side.do("stranger", "permits", "disAllowIssuer", key, refused=NOT_OWNER)
    side.do("stranger", "permits", "present", given, side.sign(ISSUER, given))
    side.do("owner", "permits", "disAllowIssuer", key)
    side.do("owner", "permits", "disAllowIssuer", key, refused="IssuerAllowedAlreadySet(")
    side.ask("permits", "getIssuerAllowed", key)
    side.ask("permits", "check", permit(side, id=SECOND_ID), side.sign(ISSUER, permit(side, id=SECOND_ID)))
    side.order(refused=PRESENTED)
    foreign = permit(side, id=SECOND_ID, parameters=[])
    side.do("stranger", "permits", "present", foreign, side.sign(ISSUER, foreign), refused="InvalidSignature(")
    side.do("owner", "permits", "allowIssuer", key)
    side.order()


@row("parameters come in the order of their names in the chain, whatever order they were extracted in")
def parameters_in_order(side: Side) -> None:
    side.install("permits:notional,account")
    side.do("owner", "permits", "allowIssuer", issuer_key(side))
    side.order(context=signed(side, permit(side)), refused=IN_CONTEXT)
    turned = list(reversed(permit(side)[4]))
    side.order(context=signed(side, permit(side, parameters=turned)))


@row("a parameter that is named twice")
def parameter_twice(side: Side) -> None:
    side.install("reject:account,account")
    missing = "InvalidParameters(Missing policy parameters)"
    side.order(refused=Differs(None, missing, "a parameter that is named twice is given twice", of="engine"))


@row("nobody signs for the zero address")
def zero_issuer(side: Side) -> None:
    nobody = Differs("ZeroIssuer()", None, "zeros are refused where they can only be mistakes")
    side.do("owner", "permits", "allowIssuer", encode(["address"], [ZERO]), refused=nobody)
    side.install("permits:account,notional")
    context = encode([f"({PERMIT},bytes)"], [(permit(side), bytes(65))])
    side.order(context=bytes(context), refused="PolicyRunError(permits, [InvalidSignatureFormat(")


@row("a permit's hash is EIP-712's over its own domain")
def permit_domain(side: Side) -> None:
    side.ask("permits", "eip712Domain")
    side.do("relay", "gate", "setContext", signed(side, permit(side)))
    if side.typed_hash(permit(side)) != side.contracts["permits"].functions.hashTypedDataV4Permit(permit(side)).call():
        raise AssertionError("the contract hashes another permit")
    call = (side.people["trader"], TICKER, 100, NO_MODEL)
    side.do("relay", "gate", "submitOrder", *call, refused="no policy allowed the action")
