"""Rows of the differential: identities, credentials and what is asked of them."""

from eth_utils.crypto import keccak

from tests.contracts.ace_world import AML, CCID, DAY, FLAG, KYC, OTHER_CCID, START, ZERO, Differs, Side, Table

ROWS = Table()
row = ROWS.row
NAMED = "named errors instead of sentences"
FAILED = "PolicyRunRejected(validator, account identity validation failed)"
SENDER = "PolicyRunRejected(issuers, sender is not authorized)"
END = START + 10 * DAY


def demand_kyc(side: Side) -> None:
    side.install("validator:account")
    side.source(KYC)
    side.require(KYC, KYC)


@row("before KYC an order is refused, after it the order passes")
def kyc(side: Side) -> None:
    demand_kyc(side)
    side.order(refused=FAILED)
    side.do("issuer", "identities", "registerIdentity", CCID, side.people["trader"], b"")
    side.order(refused=FAILED)
    side.do("issuer", "credentials", "registerCredential", CCID, KYC, 0, b"", b"")
    side.order()


@row("another person's credential and another type of credential do not help")
def others(side: Side) -> None:
    demand_kyc(side)
    side.know("other", OTHER_CCID)
    side.order(refused=FAILED)
    side.know("trader", CCID, credential=AML)
    side.order(refused=FAILED)
    side.order(account="other")


@row("two accounts of one person share the credential until one of them is taken from the identity")
def two_accounts(side: Side) -> None:
    demand_kyc(side)
    side.know()
    side.order(account="other", refused=FAILED)
    side.do("issuer", "identities", "registerIdentity", CCID, side.people["other"], b"")
    side.order(account="other")
    side.ask("identities", "getAccounts", CCID)
    side.do("issuer", "identities", "removeIdentity", CCID, side.people["trader"], b"")
    side.order(refused=FAILED)
    side.order(account="other")


@row("a credential holds until the second before its end, and a renewal brings it back")
def expiry(side: Side) -> None:
    demand_kyc(side)
    side.know(expires=END)
    side.order()
    side.at(END - 2)
    side.order()
    side.at(END)
    side.order(refused=FAILED)
    side.ask("credentials", "isCredentialExpired", CCID, KYC)
    side.do("issuer", "credentials", "renewCredential", CCID, KYC, END + DAY, b"")
    side.order()
    side.at(END + DAY)
    side.order(refused=FAILED)
    side.do("issuer", "credentials", "renewCredential", CCID, KYC, 0, b"")
    side.order()


@row("a removed credential does not count, one that was never there cannot be removed or renewed")
def removal(side: Side) -> None:
    demand_kyc(side)
    side.know()
    side.do("issuer", "credentials", "removeCredential", CCID, KYC, b"")
    side.order(refused=FAILED)
    for call in (("removeCredential", CCID, KYC, b""), ("renewCredential", CCID, KYC, 0, b"")):
        side.do("issuer", "credentials", *call, refused="CredentialNotFound(")
    side.do("issuer", "credentials", "registerCredential", CCID, KYC, 0, b"", b"")
    side.order()


@row("a credential is registered once, even when it has expired, and never with an end in the past")
def registered_once(side: Side) -> None:
    side.know(expires=END)
    again = ("registerCredential", CCID, KYC, 0, b"", b"")
    side.do("issuer", "credentials", *again, refused="CredentialAlreadyRegistered(")
    side.at(END + DAY)
    side.do("issuer", "credentials", *again, refused="CredentialAlreadyRegistered(")
    past = "InvalidCredentialConfiguration(Invalid expiration time)"
    side.do("issuer", "credentials", "registerCredential", CCID, AML, END, b"", b"", refused=past)
    side.do("issuer", "credentials", "renewCredential", CCID, KYC, END, b"", refused=past)


@row("several credentials of one person are registered at once or not at all")
def several(side: Side) -> None:
    side.do("issuer", "credentials", "registerCredentials", CCID, [KYC, AML], END, [b"a", b"b"], b"")
    side.ask("credentials", "getCredentialTypes", CCID)
    side.ask("credentials", "getCredential", CCID, AML)
    side.ask("credentials", "getCredentials", CCID, [AML, KYC])
    side.ask("credentials", "validateAll", CCID, [KYC, AML], b"")
    side.ask("credentials", "validateAll", CCID, [KYC, FLAG], b"")
    uneven = "InvalidCredentialConfiguration(Invalid input length)"
    call = ("registerCredentials", OTHER_CCID, [KYC, AML], END)
    side.do("issuer", "credentials", *call, [b"a"], b"", refused=uneven)
    twice = ("registerCredentials", OTHER_CCID, [AML, AML], END, [b"a", b"b"], b"")
    side.do("issuer", "credentials", *twice, refused="CredentialAlreadyRegistered(")
    side.ask("credentials", "getCredentialTypes", OTHER_CCID)


@row("no credential of all is held by whoever is asked for none")
def all_of_none(side: Side) -> None:
    side.ask("credentials", "validateAll", CCID, [], b"")


@row("several identities are registered at once or not at all")
def several_identities(side: Side) -> None:
    accounts = [side.people["trader"], side.people["other"]]
    side.do("issuer", "identities", "registerIdentities", [CCID, OTHER_CCID], accounts, b"")
    side.ask("identities", "getIdentity", accounts[1])
    uneven = "InvalidIdentityConfiguration("
    side.do("issuer", "identities", "registerIdentities", [CCID], accounts, b"", refused=uneven)


@row("an address has one identity, never the zero one, and loses only its own")
def one_identity(side: Side) -> None:
    trader = side.people["trader"]
    side.do("issuer", "identities", "registerIdentity", CCID, trader, b"")
    taken = "IdentityAlreadyRegistered("
    side.do("issuer", "identities", "registerIdentity", CCID, trader, b"", refused=taken)
    side.do("issuer", "identities", "registerIdentity", OTHER_CCID, trader, b"", refused=taken)
    zero = "InvalidIdentityConfiguration("
    side.do("issuer", "identities", "registerIdentity", bytes(32), side.people["other"], b"", refused=zero)
    for call in ((OTHER_CCID, trader, b""), (CCID, side.people["other"], b"")):
        side.do("issuer", "identities", "removeIdentity", *call, refused="IdentityNotFound(")


@row("nobody is known by the zero address, the zero identity or a credential of no type")
def zero_address(side: Side) -> None:
    why = "zeros are refused where they can only be mistakes"
    nobody = Differs("InvalidIdentityConfiguration(", None, why)
    side.do("issuer", "identities", "registerIdentity", CCID, ZERO, b"", refused=nobody)
    nothing = Differs("InvalidCredentialConfiguration(", None, why)
    for ccid, kind in ((bytes(32), KYC), (CCID, bytes(32))):
        side.do("issuer", "credentials", "registerCredential", ccid, kind, 0, b"", b"", refused=nothing)


@row("nobody but an issuer writes to the registries, and an issuer that was taken off no longer")
def issuers(side: Side) -> None:
    trader = side.people["trader"]
    for _ in range(2):
        side.do("stranger", "identities", "registerIdentity", CCID, trader, b"", refused=SENDER)
        side.do("stranger", "identities", "registerIdentities", [CCID], [trader], b"", refused=SENDER)
        side.do("stranger", "credentials", "registerCredential", CCID, KYC, 0, b"", b"", refused=SENDER)
        side.do("stranger", "credentials", "registerCredentials", CCID, [KYC], 0, [b""], b"", refused=SENDER)
        side.know()
        side.do("stranger", "identities", "removeIdentity", CCID, trader, b"", refused=SENDER)
        side.do("stranger", "credentials", "removeCredential", CCID, KYC, b"", refused=SENDER)
        side.do("stranger", "credentials", "renewCredential", CCID, KYC, 0, b"", refused=SENDER)
        side.do("issuer", "credentials", "removeCredential", CCID, KYC, b"")
        side.do("issuer", "identities", "removeIdentity", CCID, trader, b"")
    side.do("stranger", "issuers", "authorizeSender", trader, refused="OwnableUnauthorizedAccount(stranger)")
    side.do("owner", "issuers", "unauthorizeSender", side.people["issuer"])
    side.do("issuer", "identities", "registerIdentity", CCID, trader, b"", refused=SENDER)


@row("an inverted requirement refuses who holds the credential, and who has no identity at all")
def inverted(side: Side) -> None:
    side.install("validator:account")
    side.source(FLAG)
    side.require(FLAG, FLAG, invert=True)
    side.order(refused=FAILED)
    side.do("issuer", "identities", "registerIdentity", CCID, side.people["trader"], b"")
    side.order()
    side.do("issuer", "credentials", "registerCredential", CCID, FLAG, END, b"", b"")
    side.order(refused=FAILED)
    side.at(END)
    side.order()
    side.do("issuer", "credentials", "renewCredential", CCID, FLAG, 0, b"")
    side.order(refused=FAILED)


@row("of several types the least number must hold")
def least(side: Side) -> None:
    side.install("validator:account")
    for credential in (KYC, AML, FLAG):
        side.source(credential)
    side.require(KYC, KYC, AML, FLAG, least=2)
    side.know()
    side.order(refused=FAILED)
    side.do("issuer", "credentials", "registerCredential", CCID, FLAG, 0, b"", b"")
    side.order()


@row("every requirement must hold")
def every(side: Side) -> None:
    demand_kyc(side)
    side.source(AML)
    side.require(AML, AML)
    side.know()
    side.order(refused=FAILED)
    side.do("issuer", "credentials", "registerCredential", CCID, AML, 0, b"", b"")
    side.order()


@row("a credential counts from any of its sources, under the identity that the account has there")
def sources(side: Side) -> None:
    demand_kyc(side)
    side.source(KYC, "2")
    side.do("issuer", "identities2", "registerIdentity", OTHER_CCID, side.people["trader"], b"")
    side.do("issuer", "credentials", "registerCredential", OTHER_CCID, KYC, 0, b"", b"")
    side.order(refused=FAILED)
    side.do("issuer", "credentials2", "registerCredential", OTHER_CCID, KYC, 0, b"", b"")
    side.order()
    pair = (KYC, side.address("identities2"), side.address("credentials2"))
    side.do("owner", "validator", "removeCredentialSource", *pair)
    side.order(refused=FAILED)
    side.do("owner", "validator", "removeCredentialSource", *pair, refused="CredentialSourceNotFound(")


@row("an inverted requirement with two sources asks for no flag in either")
def inverted_sources(side: Side) -> None:
    side.install("validator:account")
    side.source(FLAG)
    side.source(FLAG, "2")
    side.require(FLAG, FLAG, invert=True)
    for suffix in ("", "2"):
        side.do("issuer", f"identities{suffix}", "registerIdentity", CCID, side.people["trader"], b"")
    side.order()
    side.do("issuer", "credentials2", "registerCredential", CCID, FLAG, 0, b"", b"")
    side.order(refused=Differs(FAILED, None, "a flag in any source is a flag"))
    side.do("issuer", "credentials", "registerCredential", CCID, FLAG, 0, b"", b"")
    side.order(refused=FAILED)


@row("an inverted requirement with two sources passes who is known to one of them and flagged in none")
def inverted_one_identity(side: Side) -> None:
    side.install("validator:account")
    side.source(FLAG)
    side.source(FLAG, "2")
    side.require(FLAG, FLAG, invert=True)
    side.do("issuer", "identities2", "registerIdentity", CCID, side.people["trader"], b"")
    side.order()


@row("an inverted requirement over two types is met by as many as are not held")
def inverted_types(side: Side) -> None:
    side.install("validator:account")
    side.source(FLAG)
    side.source(AML)
    side.require(FLAG, FLAG, AML, invert=True)
    side.know(credential=FLAG)
    side.order()
    side.do("issuer", "credentials", "registerCredential", CCID, AML, 0, b"", b"")
    side.order(refused=FAILED)


@row("a type without a source is held by nobody")
def no_source(side: Side) -> None:
    side.install("validator:account")
    side.require(KYC, KYC)
    side.know()
    side.order(refused=FAILED)


@row("an inverted requirement on a type without a source is met by nobody")
def no_source_inverted(side: Side) -> None:
    side.install("validator:account")
    side.require(FLAG, FLAG, invert=True)
    side.know()
    side.order(refused=FAILED)


@row("a data validator decides whether a credential's data makes it count")
def data(side: Side) -> None:
    side.install("validator:account")
    side.source(KYC, data_validator="data validator")
    side.require(KYC, KYC)
    side.know()
    side.order(refused=FAILED)
    side.do("issuer", "credentials", "removeCredential", CCID, KYC, b"")
    side.do("issuer", "credentials", "registerCredential", CCID, KYC, END, keccak(b"report"), b"")
    side.order()
    side.at(END)
    side.order(refused=FAILED)
    side.ask("validator", "getCredentialSources", KYC)
    pair = (KYC, side.address("identities"), side.address("credentials"))
    side.do("owner", "validator", "removeCredentialSource", *pair)


@row("a flag is a flag whatever its data")
def data_inverted(side: Side) -> None:
    side.install("validator:account")
    side.source(FLAG, data_validator="data validator")
    side.require(FLAG, FLAG, invert=True)
    side.do("issuer", "identities", "registerIdentity", CCID, side.people["trader"], b"")
    side.order()
    side.do("issuer", "credentials", "registerCredential", CCID, FLAG, 0, b"", b"")
    side.order(refused=FAILED)


@row("every account that the policy is given must pass")
def every_account(side: Side) -> None:
    side.install("validator:account,notional")
    side.source(KYC)
    side.require(KYC, KYC)
    side.know()
    number = int(side.people["other"], 16)
    side.order(number, refused=FAILED)
    side.do("issuer", "identities", "registerIdentity", CCID, side.people["other"], b"")
    side.order(number)


@row("a credential policy that is given no account fails")
def no_account(side: Side) -> None:
    side.install("validator")
    side.order(refused="PolicyRunError(validator, [InvalidParameters(expected at least 1 parameter)])")


@row("with no requirement left nobody passes")
def no_requirement(side: Side) -> None:
    demand_kyc(side)
    side.know()
    side.order()
    side.do("owner", "validator", "removeCredentialRequirement", KYC)
    passes = Differs(FAILED, None, "no requirement left passes nobody")
    side.order(refused=passes)


@row("requirements are named once, ask for something and no more than they name")
def requirements(side: Side) -> None:
    demand_kyc(side)
    side.require(KYC, AML, refused="RequirementExists(")
    side.ask("validator", "getCredentialRequirement", KYC)
    side.ask("validator", "getCredentialRequirementIds")
    side.do("owner", "validator", "removeCredentialRequirement", AML, refused="RequirementNotFound(")
    invalid = "InvalidRequirementConfiguration("
    side.require(AML, AML, least=0, refused=invalid)
    side.require(AML, refused=invalid)
    side.require(AML, *(keccak(bytes([number])) for number in range(33)), refused=invalid)
    for number in range(7):
        side.require(keccak(bytes([number])), KYC)
    side.require(AML, AML, refused=invalid)


@row("a requirement that asks for more than it names is met by nobody")
def too_much(side: Side) -> None:
    side.install("validator:account")
    side.source(KYC)
    never = Differs("InvalidRequirementConfiguration(", None, "what can never hold is refused at once")
    side.require(AML, KYC, least=2, refused=never)


@row("sources are named once and are at most eight a type")
def many_sources(side: Side) -> None:
    side.source(KYC)
    side.source(KYC, refused="SourceExists(")
    registry = side.address("credentials")
    for number in range(7):
        side.do("owner", "validator", "addCredentialSource", (KYC, side.address(f"filler{number}"), registry, ZERO))
    full = "InvalidRequirementConfiguration("
    eighth = (KYC, side.address("filler8"), registry, ZERO)
    side.do("owner", "validator", "addCredentialSource", eighth, refused=full)


@row("a source names both registries")
def source_zero(side: Side) -> None:
    nothing = Differs("InvalidRequirementConfiguration(", None, "zeros are refused where they can only be mistakes")
    for pair in ((ZERO, side.address("credentials")), (side.address("identities"), ZERO)):
        side.do("owner", "validator", "addCredentialSource", (KYC, *pair, ZERO), refused=nothing)


@row("nobody but the owner edits requirements and sources")
def owners(side: Side) -> None:
    pair = (side.address("identities"), side.address("credentials"))
    for call in (
        ("addCredentialRequirement", (KYC, [KYC], 1, False)),
        ("removeCredentialRequirement", KYC),
        ("addCredentialSource", (KYC, *pair, ZERO)),
        ("removeCredentialSource", KYC, *pair),
    ):
        side.do("stranger", "validator", *call, refused="OwnableUnauthorizedAccount(stranger)")


@row("issuers are trusted by the engine's word, looked up by name and listed by hash")
def trusted(side: Side) -> None:
    side.do("stranger", "trusted", "addTrustedIssuer", "did:web:issuer.example", b"", refused=SENDER)
    side.do("issuer", "trusted", "addTrustedIssuer", "did:web:issuer.example", b"")
    side.do("issuer", "trusted", "addTrustedIssuer", "lei:1", b"")
    side.ask("trusted", "isTrustedIssuer", "did:web:issuer.example")
    side.ask("trusted", "isTrustedIssuer", "did:web:other.example")
    side.ask("trusted", "getTrustedIssuers")
    side.do("stranger", "trusted", "removeTrustedIssuer", "lei:1", b"", refused=SENDER)
    side.do("issuer", "trusted", "removeTrustedIssuer", "did:web:issuer.example", b"")
    side.ask("trusted", "isTrustedIssuer", "did:web:issuer.example")
    side.ask("trusted", "getTrustedIssuers")


@row("trust that changes nothing is refused")
def trusted_twice(side: Side) -> None:
    side.do("issuer", "trusted", "addTrustedIssuer", "lei:1", b"")
    side.do(
        "issuer",
        "trusted",
        "addTrustedIssuer",
        "lei:1",
        b"",
        refused=Differs("IssuerTrusted(", "Error(Issuer already trusted)", NAMED),
    )
    side.do(
        "issuer", "trusted", "removeTrustedIssuer", "lei:2", b"", refused=Differs("IssuerNotTrusted(", "Error(", NAMED)
    )
