"""Rows of the differential: chains of policies and the engine that asks them."""

from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.contracts.ace_world import Differs, Side, Table

ROWS = Table()
row = ROWS.row
LAST = "no policy allowed the action and default is reject"
EMPTY_CHAIN = Differs(LAST, None, "a chain without policies passes nothing, whatever the defaults", of="engine")
ALLOWED, CONTINUE, NONE, FAULT, EMPTY, GARBLED, LATE = 1, 2, 0, 3, 4, 5, 6
NOT_ADMIN = "AccessControlUnauthorizedAccount(stranger"


@row("a gate without policies refuses every order, whatever the defaults")
def without_policies(side: Side) -> None:
    side.order(refused=LAST)
    side.install()
    side.order(refused=EMPTY_CHAIN)
    side.do("owner", "engine", "setTargetDefaultPolicyAllow", side.address("gate"), False)
    side.do("owner", "engine", "setDefaultPolicyAllow", True)
    side.order(refused=LAST)


@row("where every policy continues and nobody said otherwise, the order is refused")
def refused_by_default(side: Side) -> None:
    side.add("pause")
    side.order(refused=LAST)


@row("where every policy continues, the engine's default decides for targets without one of their own")
def default_for_all(side: Side) -> None:
    side.add("pause")
    side.do("owner", "engine", "setDefaultPolicyAllow", True)
    side.order()
    side.do("owner", "engine", "setDefaultPolicyAllow", False)
    side.order(refused=LAST)


@row("a target's own default outweighs the engine's, both ways")
def default_for_one(side: Side) -> None:
    side.install("pause", default=False)
    side.do("owner", "engine", "setDefaultPolicyAllow", True)
    side.order(refused=LAST)
    side.do("owner", "engine", "setTargetDefaultPolicyAllow", side.address("gate"), True)
    side.do("owner", "engine", "setDefaultPolicyAllow", False)
    side.order()


@row("a paused gate refuses, a resumed one goes on, and nobody but the owner decides")
def pause(side: Side) -> None:
    side.install("pause")
    side.do("stranger", "pause", "setPausedState", True, refused="OwnableUnauthorizedAccount(stranger)")
    side.do("owner", "pause", "setPausedState", True)
    side.order(refused="PolicyRunRejected(pause, contract is paused)")
    side.do("owner", "pause", "setPausedState", False)
    side.order()
    same = Differs("Unchanged()", "Error(new paused state must be different", "named errors instead of sentences")
    side.do("owner", "pause", "setPausedState", False, refused=same)


@row("the first policy of the chain that refuses gives the reason")
def order_of_refusals(side: Side) -> None:
    side.install("volume:notional", "senders")
    side.order(5_000, sender="stranger", refused="PolicyRunRejected(volume")
    side.do("owner", "engine", "removePolicy", side.address("gate"), side.submit, side.address("volume"))
    side.add("volume:notional")
    side.order(5_000, sender="stranger", refused="PolicyRunRejected(senders")


@row("a policy that allows ends the chain: what stands before it refuses, what stands behind is not asked")
def allowing_ends_the_chain(side: Side) -> None:
    side.install("senders", "bypass:account", "volume:notional", default=False)
    side.do("owner", "bypass", "allowAddress", side.people["trader"])
    side.order(5_000)
    side.order(5_000, account="other", refused="PolicyRunRejected(volume")
    side.order(500, account="other", refused=LAST)
    side.order(5_000, sender="stranger", refused="PolicyRunRejected(senders")
    side.do("owner", "bypass", "disallowAddress", side.people["trader"])
    side.order(5_000, refused="PolicyRunRejected(volume")


@row("a policy can be put at a place in the chain, which the event then names")
def places(side: Side) -> None:
    side.install("pause", "volume:notional")
    names, where = [keccak(text="account")], (side.address("gate"), side.submit)
    side.do("owner", "engine", "addPolicyAt", *where, side.address("reject"), names, 1)
    side.do("owner", "engine", "addPolicyAt", *where, side.address("senders"), [], 0)
    side.do("owner", "engine", "addPolicyAt", *where, side.address("max"), [keccak(text="notional")], 4)
    side.ask("engine", "getPolicies", *where)
    beyond = "InvalidParameters(Position is greater than the number of policies)"
    side.do("owner", "engine", "addPolicyAt", *where, side.address("allow"), names, 6, refused=beyond)
    side.do("owner", "reject", "rejectAddress", side.people["trader"])
    side.order(5_000, refused="PolicyRunRejected(reject")
    side.order(5_000, sender="stranger", refused="PolicyRunRejected(senders")


@row("a chain holds eight policies, none of them twice and none at the zero address")
def too_many(side: Side) -> None:
    side.install(*(f"filler{number}" for number in range(7)))
    side.add("filler3", refused="InvalidParameters(Policy already added)")
    side.add("filler7")
    side.order()
    side.add("filler8", refused="InvalidParameters(Maximum policies reached)")
    zero: tuple[Any, ...] = ("addPolicy", side.address("other gate"), side.submit, "0x" + "00" * 20, [])
    side.do("owner", "engine", *zero, refused="InvalidParameters(Policy address cannot be zero)")


@row("a removed policy is not asked any more, and can come back")
def removed(side: Side) -> None:
    side.install("pause", "volume:notional", "senders")
    side.order(5_000, refused="PolicyRunRejected(volume")
    where = (side.address("gate"), side.submit)
    side.do("owner", "engine", "removePolicy", *where, side.address("volume"))
    side.ask("engine", "getPolicies", *where)
    side.order(5_000)
    side.do("owner", "engine", "removePolicy", *where, side.address("pause"))
    side.order(5_000)
    side.do("owner", "engine", "removePolicy", *where, side.address("senders"))
    side.order(5_000, refused=EMPTY_CHAIN)
    side.add("volume:notional")
    side.order(5_000, refused="PolicyRunRejected(volume")


@row("a policy that is not in the chain cannot be removed from it")
def never_there(side: Side) -> None:
    side.install("pause")
    silent = Differs("PolicyNotAdded(gate", None, "a removal that removes nothing is refused", of="engine")
    where = (side.address("gate"), side.submit)
    side.do("owner", "engine", "removePolicy", *where, side.address("volume"), refused=silent)
    side.ask("engine", "getPolicies", *where)


@row("what is no policy cannot be added")
def no_policy(side: Side) -> None:
    side.install("pause")
    side.add("no policy", refused="NotOne()")
    side.add("stranger", refused="nothing")


@row("chains belong to one target and one function: another gate has its own")
def per_target(side: Side) -> None:
    side.install("pause")
    side.order()
    call = side.contracts["gate"].functions.submitOrder(side.people["trader"], b"T" * 32, 5, bytes(32))
    side.do("relay", "other gate", "submitOrder", *call.args, refused=LAST)
    side.install("volume:notional", target="other gate")
    side.do("relay", "other gate", "submitOrder", *call.args, refused="PolicyRunRejected(volume")


@row("a policy that needs a parameter that nobody extracts refuses every order")
def missing_parameters(side: Side) -> None:
    side.install("volume:quantity")
    side.order(refused="InvalidParameters(Missing policy parameters)")


@row("without an extractor there are no parameters")
def without_extractor(side: Side) -> None:
    side.install("volume:notional")
    side.do("owner", "engine", "setExtractor", side.submit, "0x" + "00" * 20)
    side.order(refused="InvalidParameters(Missing policy parameters)")
    side.do("owner", "engine", "removePolicy", side.address("gate"), side.submit, side.address("volume"))
    side.add("pause")
    side.order()


@row("a policy that is given another number of parameters fails, and the order with it")
def wrong_number(side: Side) -> None:
    side.install("volume")
    side.order(refused="PolicyRunError(volume, [InvalidParameters(expected 1 parameter)])")


@row("an extractor that does not know the function fails, and the call with it")
def extractor_fails(side: Side) -> None:
    selector = keccak(text="registerIdentity(bytes32,address,bytes)")[:4]
    side.do("owner", "engine", "setExtractors", [selector, side.submit], side.address("extractor"))
    side.ask("engine", "getExtractor", selector)
    arguments = (keccak(text="x"), side.people["trader"], b"")
    fault = "ExtractorError(extractor, [UnsupportedSelector(0xf176f9a1)])"
    side.do("issuer", "identities", "registerIdentity", *arguments, refused=fault)


@row("a mapper makes a policy's parameters in place of their names, for that policy only")
def mapper(side: Side) -> None:
    side.install("volume", "max:notional")
    side.do("owner", "engine", "setPolicyMapper", side.address("volume"), side.address("mapper"))
    side.ask("engine", "getPolicyMapper", side.address("volume"))
    side.order(100)
    side.order(5, refused="PolicyRunRejected(volume")
    side.do("owner", "volume", "setMax", 0)
    side.order(5_000, refused="PolicyRunRejected(max")


@row("a mapper that fails refuses the order")
def mapper_fails(side: Side) -> None:
    side.install("volume")
    side.do("owner", "engine", "setPolicyMapper", side.address("volume"), side.address("mapper"))
    side.do("owner", "mapper", "setFails", True)
    side.order(refused="PolicyMapperError(volume, [NoMap(4)])")
    side.do("owner", "engine", "setPolicyMapper", side.address("volume"), "0x" + "00" * 20)
    side.order(refused="PolicyRunError(volume")


@row("a policy that fails otherwise than by refusing refuses as well, under another name")
def policy_fails(side: Side) -> None:
    side.install("stubborn")
    side.do("owner", "stubborn", "setAnswer", FAULT)
    side.order(refused="PolicyRunError(stubborn, [Broken(7)])")
    side.do("owner", "stubborn", "setAnswer", EMPTY)
    side.order(refused="PolicyRunError(stubborn, [nothing])")
    side.do("owner", "stubborn", "setAnswer", GARBLED)
    side.order(refused="PolicyRunError(stubborn, [0x010203])")
    side.do("owner", "stubborn", "setAnswer", CONTINUE)
    side.order()


@row("a policy that answers nothing lets nothing pass")
def policy_silent(side: Side) -> None:
    side.install("stubborn")
    side.do("owner", "stubborn", "setAnswer", NONE)
    passes = Differs(
        "PolicyRunError(stubborn, [nothing])", None, "an answer that is none is a fault, never a pass", of="engine"
    )
    side.order(refused=passes)


@row("a policy that allows is enough where the default refuses")
def policy_allows(side: Side) -> None:
    side.install("stubborn", "volume:notional", default=False)
    side.do("owner", "stubborn", "setAnswer", ALLOWED)
    side.order(5_000)


@row("a policy whose bookkeeping fails after the run undoes the call, though a check cannot see that")
def late_fault(side: Side) -> None:
    side.install("stubborn")
    side.do("owner", "stubborn", "setAnswer", LATE)
    call = (side.people["trader"], b"T" * 32, 5, bytes(32))
    side.do("relay", "gate", "submitOrder", *call, refused="PolicyPostRunError(stubborn, [Broken(8)])")


@row("who has not attached is asked for nothing; who has attached cannot again; who detached is out")
def attached(side: Side) -> None:
    payload = (side.submit, side.people["relay"], b"", b"")
    unknown = Differs("TargetNotAttached(stranger)", LAST, "who has not attached is not judged", of="engine")
    side.do("stranger", "engine", "run", payload, refused=unknown)
    side.do("stranger", "engine", "detach", refused="TargetNotAttached(stranger)")
    side.do("stranger", "engine", "attach")
    side.do("stranger", "engine", "attach", refused="TargetAlreadyAttached(stranger)")
    side.do("stranger", "engine", "run", payload, refused=LAST)
    side.do("stranger", "engine", "detach")
    side.do("stranger", "engine", "run", payload, refused=unknown)


@row("nobody but the admin changes chains, extractors, mappers and defaults, and nobody else configures policies")
def admins(side: Side) -> None:
    gate, policy = side.address("gate"), side.address("pause")
    calls: tuple[tuple[Any, ...], ...] = (
        ("addPolicy", gate, side.submit, policy, []),
        ("addPolicyAt", gate, side.submit, policy, [], 0),
        ("removePolicy", gate, side.submit, policy),
        ("setExtractor", side.submit, policy),
        ("setExtractors", [side.submit], policy),
        ("setPolicyMapper", policy, policy),
        ("setDefaultPolicyAllow", True),
        ("setTargetDefaultPolicyAllow", gate, True),
        ("setPolicyConfiguration", policy, 0, keccak(text="setPausedState(bool)")[:4], encode(["bool"], [True])),
    )
    for call in calls:
        side.do("stranger", "engine", *call, refused=NOT_ADMIN)


@row("roles of the engine are granted and revoked by its default admin")
def roles(side: Side) -> None:
    role = keccak(text="ADMIN_ROLE")
    side.do("stranger", "engine", "grantRole", role, side.people["stranger"], refused=NOT_ADMIN)
    side.do("owner", "engine", "grantRole", role, side.people["stranger"])
    side.do("stranger", "engine", "setDefaultPolicyAllow", True)
    side.do("owner", "engine", "revokeRole", role, side.people["stranger"])
    side.do("stranger", "engine", "setDefaultPolicyAllow", False, refused=NOT_ADMIN)


@row("a policy that the engine owns is configured through it, each time against the version that was read")
def configured(side: Side) -> None:
    policy, pause, on = side.address("pause"), keccak(text="setPausedState(bool)")[:4], encode(["bool"], [True])
    side.install("pause")
    foreign = "PolicyConfigurationError(pause, [OwnableUnauthorizedAccount(engine)])"
    side.do("owner", "engine", "setPolicyConfiguration", policy, 0, pause, on, refused=foreign)
    side.ask("engine", "getPolicyConfigVersion", policy)
    side.do("owner", "pause", "transferOwnership", side.address("engine"))
    side.do("owner", "engine", "setPolicyConfiguration", policy, 0, pause, on)
    side.ask("engine", "getPolicyConfigVersion", policy)
    side.order(refused="contract is paused")
    stale = "PolicyConfigurationVersionError(pause, "
    off = encode(["bool"], [False])
    side.do("owner", "engine", "setPolicyConfiguration", policy, 0, pause, off, refused=stale)
    side.do("owner", "engine", "setPolicyConfiguration", policy, 2, pause, off, refused=stale)
    side.do("owner", "engine", "setPolicyConfiguration", policy, 1, pause, off)
    side.order()


@row("what the engine tells policies nobody tells them as configuration")
def hooks(side: Side) -> None:
    for policy, hook in (("pause", "onInstall(bytes4)"), ("senders", "onUninstall(bytes4)")):
        refused = Differs(
            f"PolicyConfigurationError({policy}, [Unauthorized()])", None, "hooks are no configuration", "engine"
        )
        call = (side.address(policy), 0, keccak(text=hook)[:4], encode(["bytes4"], [side.submit]))
        side.do("owner", "engine", "setPolicyConfiguration", *call, refused=refused)


@row("a call's context is set beforehand, seen by its sender only, handed on with the call and then gone")
def contexts(side: Side) -> None:
    side.install("pause")
    side.do("relay", "gate", "setContext", b"one")
    side.do("relay", "gate", "clearContext")
    side.order(context=b"two")
    side.order()
    side.order(sender="other")


@row("a refused call keeps its context until it passes or is cleared")
def kept_context(side: Side) -> None:
    side.install("pause")
    side.do("owner", "pause", "setPausedState", True)
    side.order(context=b"kept", refused="contract is paused")
    side.do("owner", "pause", "setPausedState", False)
    side.do("relay", "gate", "submitOrder", side.people["trader"], b"T" * 32, 5, bytes(32))
    side.order()


@row("policies take orders from their engine only")
def own_engine(side: Side) -> None:
    side.do("stranger", "volume", "onInstall", side.submit, refused="Unauthorized()")
    side.do("stranger", "volume", "onUninstall", side.submit, refused="Unauthorized()")
    late: tuple[Any, ...] = (side.people["trader"], side.people["trader"], side.submit, [], b"")
    for policy in ("volume", "permits"):
        side.do("owner", policy, "postRun", *late, refused="Unauthorized()")
