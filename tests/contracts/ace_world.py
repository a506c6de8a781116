"""One node with our engine and a real Chainlink ACE engine on it, and a pen that writes down what each does."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from time import monotonic, sleep
from typing import Any, Literal, cast

from eth_abi.abi import decode, encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.abi import collapse_if_tuple
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from web3 import HTTPProvider, Web3
from web3.contract import Contract

from scripts.local_node import artifact, node
from tests.contracts.ace_artifacts import ace_artifacts

CHAIN_ID = 42069
PATIENCE_SECONDS = 30
DAY = 86_400
BIRTH = 46_305 * DAY  # later than any clock says: a node goes on from its own; a Thursday
START = BIRTH + 28 * DAY
TYPES = ("(bytes4,address,bytes,bytes)",)
ROLES = ("owner", "guardian", "relay", "issuer", "trader", "other", "stranger")
KYC, AML, FLAG = (keccak(text=name) for name in ("common.kyc", "common.aml", "sanctions.hit"))
RISK = keccak(text="a VaR policy")
CCID, OTHER_CCID = keccak(text="a person"), keccak(text="another person")
TICKER, NO_MODEL, ZERO = b"INST00".ljust(32, b"\0"), bytes(32), "0x" + "00" * 20
MAXIMUM, MINIMUM = 1_000, 10
TIERS = [(0, 100, False), (3, 500, False), (7, 5_000, False), (14, 50_000, True)]
Kind = Literal["engine", "parts"]
# The order of secp256k1
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
PERMIT_TYPE = (
    "bytes32 permitId,address caller,address subject,bytes4 selector,"
    "bytes[] parameters,bytes metadata,uint64 maxUses,uint48 expiry"
)
PERMIT_FIELDS = [dict(zip(("type", "name"), part.split(), strict=True)) for part in PERMIT_TYPE.split(",")]
# What ACE calls those of ours that have another name.
THEIRS = {
    "AuthorizedSenderPolicy": "OnlyAuthorizedSenderPolicy",
    "RolePolicy": "RoleBasedAccessControlPolicy",
    "CertifiedActionPolicy": "CertifiedActionValidatorPolicy",
    "CredentialValidatorPolicy": "CredentialRegistryIdentityValidatorPolicy",
}
PARTS = {
    "pause": "PausePolicy",
    "senders": "AuthorizedSenderPolicy",
    "issuers": "AuthorizedSenderPolicy",
    "allow": "AllowPolicy",
    "bypass": "BypassPolicy",
    "reject": "RejectPolicy",
    "max": "MaxPolicy",
    "volume": "VolumePolicy",
    "role": "RolePolicy",
    "interval": "IntervalPolicy",
    "permits": "CertifiedActionPolicy",
    "validator": "CredentialValidatorPolicy",
}
CONFIGURATION: Mapping[str, Sequence[tuple[str, Any]]] = {
    "PausePolicy": (("bool", False),),
    "MaxPolicy": (("uint256", MAXIMUM),),
    "VolumePolicy": (("uint256", MINIMUM), ("uint256", MAXIMUM)),
    "IntervalPolicy": (("uint256", 9), ("uint256", 17), ("(uint256,uint256,uint256)", (3600, 24, 0))),
    "CredentialValidatorPolicy": (
        ("(bytes32,address,address,address)[]", ()),
        ("(bytes32,bytes32[],uint256,bool)[]", ()),
    ),
}


@dataclass(frozen=True, slots=True)
class Differs:
    """What a step is refused for (None: it is not) where the two cannot be equal; `of` is whose doing that is."""

    ours: str | None
    ace: str | None
    why: str
    of: Kind = "parts"

    def of_side(self, side: "Side") -> str | None:
        """Return what one side is expected to say."""
        is_ace = side.engine_is_ace if self.of == "engine" else side.parts_are_ace
        return self.ace if is_ace else self.ours


Expected = str | None | Differs


class Wire:
    """One open connection to the node: a table of thousands of calls has no time for new ones."""

    def __init__(self, web3: Web3) -> None:
        url = str(cast(HTTPProvider, web3.provider).endpoint_uri)
        self._connection = HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_SECONDS)

    def answer(self, method: str, *arguments: Any) -> dict[str, Any]:
        """Return the node's whole answer, an error too."""
        question = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": arguments})
        self._connection.request("POST", "/", question, {"Content-Type": "application/json"})
        answer: dict[str, Any] = json.loads(self._connection.getresponse().read())
        return answer

    def ask(self, method: str, *arguments: Any) -> Any:
        """Return what the node answers."""
        answer = self.answer(method, *arguments)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def send(self, call: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a transaction; return its receipt once the node has mined it."""
        identity = self.ask("eth_sendTransaction", call)
        deadline = monotonic() + PATIENCE_SECONDS
        while (receipt := self.ask("eth_getTransactionReceipt", identity)) is None:
            if monotonic() > deadline:
                raise AssertionError("the node mines nothing")
            sleep(0.001)
        found: Mapping[str, Any] = receipt
        return found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@dataclass(slots=True)
class Side:
    """One engine with its gate and its policies, and the transcript of what happened to them."""

    name: str
    web3: Web3
    wire: Wire
    people: Mapping[str, str]
    engine_is_ace: bool
    parts_are_ace: bool
    contracts: dict[str, Contract] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    errors: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    events: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    transcript: list[str] = field(default_factory=list)
    clock: int = START

    # What a row writes

    def do(self, who: str, contract: str, function: str, *arguments: Any, refused: Expected = None) -> None:
        """Call a function in a transaction; write down its fate."""
        call = self.contracts[contract].functions[function](*arguments)
        data = str(call._encode_transaction_data())
        self._write(f"{who}: {contract}.{function}", refused, self._transact(who, self.address(contract), data))

    def ask(self, contract: str, function: str, *arguments: Any, answer: Differs | None = None) -> None:
        """Call a view; write its answer down."""
        given = self._shown(self.contracts[contract].functions[function](*arguments).call())
        if answer is not None:
            expected = answer.of_side(self)
            if given != expected:
                raise AssertionError(f"{self.name}: {contract}.{function} is {given}, not {expected}")
            given = f"differs: {answer.why}"
        self.transcript.append(f"{contract}.{function} = {given}")

    def order(
        self,
        notional: int = 100,
        account: str = "trader",
        sender: str = "relay",
        context: bytes = b"",
        model: bytes = NO_MODEL,
        refused: Expected = None,
    ) -> None:
        """Check an order by eth_call from the gate, then submit it; both must say the same."""
        call = self.contracts["gate"].functions.submitOrder(self.people[account], TICKER, notional, model)
        data = HexBytes(call._encode_transaction_data())
        payload = (bytes(data[:4]), self.people[sender], bytes(data[4:]), context)
        checked = self.contracts["engine"].functions.check(payload)._encode_transaction_data()
        verdict = self._call(self.address("gate"), self.address("engine"), str(checked))
        if context:
            self.do(sender, "gate", "setContext", context)
        fate, events = self._transact(sender, self.address("gate"), data.to_0x_hex())
        what = f"{sender}: an order of {notional} for {account}"
        if verdict != fate:
            raise AssertionError(f"{self.name}: {what}: check says {verdict}, run says {fate}")
        self._write(what, refused, (fate, events))

    def install(
        self, *policies: str, target: str = "gate", selector: bytes | None = None, default: bool = True
    ) -> None:
        """Put policies ("name" or "name:parameter,parameter") at the end of a chain and let what passes go on."""
        self.do("owner", "engine", "setExtractor", self.submit, self.address("extractor"))
        for policy in policies:
            self.add(policy, target=target, selector=selector)
        self.do("owner", "engine", "setTargetDefaultPolicyAllow", self.address(target), default)

    def add(self, policy: str, target: str = "gate", selector: bytes | None = None, refused: Expected = None) -> None:
        """Put one policy at the end of a chain."""
        name, _, parameters = policy.partition(":")
        names = [keccak(text=parameter) for parameter in parameters.split(",") if parameter]
        where = (self.address(target), selector or self.submit)
        self.do("owner", "engine", "addPolicy", *where, self.address(name), names, refused=refused)

    def know(self, account: str = "trader", ccid: bytes = CCID, expires: int = 0, credential: bytes = KYC) -> None:
        """Let the issuer register an account's identity and a credential of it."""
        self.do("issuer", "identities", "registerIdentity", ccid, self.people[account], b"")
        self.do("issuer", "credentials", "registerCredential", ccid, credential, expires, b"", b"")

    def require(
        self, requirement: bytes, *types: bytes, least: int = 1, invert: bool = False, refused: Expected = None
    ) -> None:
        """Ask for credentials."""
        asked = (requirement, list(types), least, invert)
        self.do("owner", "validator", "addCredentialRequirement", asked, refused=refused)

    def source(self, credential: bytes, suffix: str = "", data_validator: str = "", refused: Expected = None) -> None:
        """Look a credential up in a pair of registries."""
        registries = (self.address(f"identities{suffix}"), self.address(f"credentials{suffix}"))
        given = (credential, *registries, self.address(data_validator) if data_validator else ZERO)
        self.do("owner", "validator", "addCredentialSource", given, refused=refused)

    def at(self, moment: int) -> None:
        """Mine a block at a moment: what is asked next is asked then, what is sent next comes a second later."""
        self.clock = moment
        self.wire.ask("evm_setNextBlockTimestamp", moment)
        self.wire.ask("evm_mine")

    def typed_hash(self, permit: tuple[Any, ...], chain_id: int = CHAIN_ID, contract: str = "permits") -> bytes:
        """Return EIP-712's hash of a permit, computed without the contracts."""
        domain = {
            "name": "CertifiedActionValidator",
            "version": "1",
            "chainId": chain_id,
            "verifyingContract": self.address(contract),
        }
        message = dict(zip((field["name"] for field in PERMIT_FIELDS), permit, strict=True))
        signable = encode_typed_data(domain, {"Permit": PERMIT_FIELDS}, message)
        return bytes(keccak(b"\x19" + signable.version + signable.header + signable.body))

    def sign(self, key: bytes, permit: tuple[Any, ...], s_is_high: bool = False, **domain: Any) -> bytes:
        """Return an issuer's signature under a permit; transcripts do not show it."""
        signed = Account.unsafe_sign_hash(HexBytes(self.typed_hash(permit, **domain)), key)
        s, v = (ORDER - signed.s, 55 - signed.v) if s_is_high else (signed.s, signed.v)
        signature = signed.r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])
        self.aliases[signature.hex()] = "<signature>"
        self.aliases[signature[32:64].hex()] = "<s>"
        return bytes(signature)

    def signer(self, key: bytes) -> str:
        """Return a key's address."""
        return str(Account.from_key(key).address)

    @property
    def submit(self) -> bytes:
        """The gate's function."""
        return keccak(text="submitOrder(address,bytes32,uint256,bytes32)")[:4]

    def address(self, name: str) -> str:
        """Return a contract's or a person's address."""
        return self.contracts[name].address if name in self.contracts else self.people[name]

    # How it is set up

    def add_contract(self, name: str, contract: Contract) -> None:
        """Make a contract known by a name, with its errors and events."""
        self.contracts[name] = contract
        self.aliases[contract.address[2:].lower()] = name
        self.learn(contract.abi)
        for part in contract.abi:
            if part["type"] == "event":
                self.events[contract.address.lower(), _topic(part)] = dict(part)

    def learn(self, abi: Any) -> None:
        """Make errors known."""
        for part in abi:
            if part["type"] == "error":
                types = [collapse_if_tuple(given) for given in part["inputs"]]
                selector = keccak(text=f"{part['name']}({','.join(types)})")[:4].hex()
                self.errors[selector] = (part["name"], types)

    # How it is written down

    def _write(self, what: str, expected: Expected, outcome: tuple[str | None, list[str]]) -> None:
        fate, events = outcome
        if isinstance(expected, Differs):
            told = expected.of_side(self)
            if not _fits(told, fate):
                raise AssertionError(f"{self.name}: {what}: {fate or 'accepted'}, not {told or 'accepted'}")
            self.transcript.append(f"{what} -> differs: {expected.why}")
            return
        if not _fits(expected, fate):
            raise AssertionError(f"{self.name}: {what}: {fate or 'accepted'}, not {expected or 'accepted'}")
        self.transcript.append(f"{what} -> {fate or 'accepted'} {events}")

    def _call(self, sender: str, to: str, data: str) -> str | None:
        """Return what a call reverts with, None where it does not."""
        call = {"from": sender, "to": to, "data": data, "gas": hex(10_000_000)}
        answer = self.wire.answer("eth_call", call, "latest")
        if "error" not in answer:
            return None
        return self._error(HexBytes(answer["error"].get("data") or "0x"))

    def _transact(self, who: str, to: str, data: str) -> tuple[str | None, list[str]]:
        self.clock += 1
        self.wire.ask("evm_setNextBlockTimestamp", self.clock)
        call = {"from": self.address(who), "to": to, "data": data, "gas": hex(10_000_000)}
        receipt = self.wire.send(call)
        if int(receipt["status"], 16) == 1:
            return None, [self._event(log) for log in receipt["logs"]]
        # The state is as it was before: the block with the refused transaction asks again at the same time.
        return self._call(self.address(who), to, data) or "nothing", []

    def _error(self, data: bytes) -> str:
        if not data:
            return "nothing"
        name, types = self.errors.get(data[:4].hex(), ("", []))
        if not name:
            return f"0x{data.hex()}"
        values = list(decode(types, data[4:]))
        shown = [
            f"[{self._error(value)}]"
            if given == "bytes" and name != "InvalidIdentityConfiguration"
            else self._shown(value)
            for given, value in zip(types, values, strict=True)
            if given not in TYPES
        ]
        return f"{name}({', '.join(shown)})"

    def _event(self, log: Mapping[str, Any]) -> str:
        part = self.events.get((log["address"].lower(), log["topics"][0]))
        if part is None:
            return f"{self._shown(log['address'])}: {log['topics'][0]}"
        types = [(collapse_if_tuple(given), given["indexed"]) for given in part["inputs"]]
        plain = iter(decode([kind for kind, indexed in types if not indexed], HexBytes(log["data"])))
        topics = iter(log["topics"][1:])
        values = [decode([kind], HexBytes(next(topics)))[0] if indexed else next(plain) for kind, indexed in types]
        return f"{self._shown(log['address'])}.{part['name']}({', '.join(map(self._shown, values))})"

    def _shown(self, value: Any) -> str:
        if isinstance(value, bytes):
            text = f"0x{value.hex()}"
        elif isinstance(value, (list, tuple)):
            text = f"({', '.join(map(self._shown, value))})"
        else:
            text = str(value)
        lower = text.lower() if text.startswith("0x") else text
        for hidden, name in self.aliases.items():
            lower = lower.replace(f"0x{hidden}" if len(lower) == 42 else hidden, name)
        return lower


class Table(dict[str, Callable[[Side], None]]):
    """Rows by their sentences."""

    def row(self, sentence: str) -> Callable[[Callable[[Side], None]], Callable[[Side], None]]:
        """Put a row into the table."""

        def put(steps: Callable[[Side], None]) -> Callable[[Side], None]:
            self[sentence] = steps
            return steps

        return put


def _fits(expected: str | None, fate: str | None) -> bool:
    return expected is None if fate is None else expected is not None and expected in fate


def _topic(part: Any) -> str:
    return "0x" + keccak(text=f"{part['name']}({','.join(map(collapse_if_tuple, part['inputs']))})").hex()


@contextmanager
def ace_world() -> Iterator[Mapping[str, Side]]:
    """Run a node with three sides: ours, ACE's, and our policies and registries in ACE's engine."""
    theirs = ace_artifacts()
    with node(CHAIN_ID, "--network", "optimism") as web3, closing(Wire(web3)) as wire:
        people = dict(zip(ROLES, web3.eth.accounts, strict=False))
        sides = {
            "ours": Side("ours", web3, wire, people, engine_is_ace=False, parts_are_ace=False),
            "ACE's": Side("ACE's", web3, wire, people, engine_is_ace=True, parts_are_ace=True),
            "ours in ACE's engine": Side(
                "ours in ACE's engine", web3, wire, people, engine_is_ace=True, parts_are_ace=False
            ),
        }
        for number, side in enumerate(sides.values()):
            side.at(BIRTH + number * DAY)
            _build(side, theirs)
        yield sides


def _build(side: Side, theirs: Mapping[str, Any]) -> None:
    side.aliases |= {address[2:].lower(): name for name, address in side.people.items()}
    side.learn([{"type": "error", "name": "Error", "inputs": [{"type": "string"}]}])
    side.learn([{"type": "error", "name": "Panic", "inputs": [{"type": "uint256"}]}])
    owner = side.people["owner"]
    if side.engine_is_ace:
        engine = _behind_proxy(side, theirs, "PolicyEngine", False, owner)
    else:
        engine = _deploy(side, "PolicyEngine", owner)
    side.add_contract("engine", engine)
    for name in ("gate", "other gate"):
        side.add_contract(name, _deploy(side, "OrderGate", owner, engine.address))
    side.add_contract("extractor", _deploy(side, "OrderExtractor"))
    for name, what in (
        *((f"identities{n}", "IdentityRegistry") for n in ("", "2")),
        *((f"credentials{n}", "CredentialRegistry") for n in ("", "2")),
        ("trusted", "TrustedIssuerRegistry"),
    ):
        side.add_contract(name, _registry(side, theirs, what))
    for name, what in PARTS.items():
        side.add_contract(name, _policy(side, theirs, what))
    for name, what in (
        ("mapper", "NotionalMapper"),
        ("data validator", "HashDataValidator"),
        ("no policy", "NoPolicy"),
        ("attestor", "NewestEpochs"),
    ):
        side.add_contract(name, _deploy(side, what, file="AceHelpers"))
    for name in ("stubborn", *(f"filler{n}" for n in range(9))):
        side.add_contract(name, _deploy(side, "StubbornPolicy", engine.address, owner, file="AceHelpers"))
    _add_ours(side)
    # Between blocks without a time of their own the node's clock has gone on.
    side.at(side.clock + DAY // 2)
    side.do("owner", "senders", "authorizeSender", side.people["relay"])
    side.do("owner", "issuers", "authorizeSender", side.people["issuer"])
    for registry, functions in (
        ("identities", ("registerIdentity(bytes32,address,bytes)", "removeIdentity(bytes32,address,bytes)")),
        ("identities", ("registerIdentities(bytes32[],address[],bytes)",)),
        ("credentials", ("registerCredential(bytes32,bytes32,uint40,bytes,bytes)",)),
        ("credentials", ("registerCredentials(bytes32,bytes32[],uint40,bytes[],bytes)",)),
        ("credentials", ("removeCredential(bytes32,bytes32,bytes)", "renewCredential(bytes32,bytes32,uint40,bytes)")),
        ("trusted", ("addTrustedIssuer(string,bytes)", "removeTrustedIssuer(string,bytes)")),
    ):
        for target in [registry] if registry == "trusted" else [registry, f"{registry}2"]:
            for function in functions:
                side.add("issuers", target=target, selector=keccak(text=function)[:4])
            side.do("owner", "engine", "setTargetDefaultPolicyAllow", side.address(target), True)
    side.transcript.clear()


def _add_ours(side: Side) -> None:
    """Add what ACE has nothing for: on every side it is ours."""
    owner, guardian, engine = side.people["owner"], side.people["guardian"], side.address("engine")
    side.add_contract("models", _deploy(side, "ModelRegistry", owner, guardian, [owner]))
    for name, what, arguments in (
        ("sliding", "SlidingVolumePolicy", (MAXIMUM, DAY)),
        ("caps", "ProgressiveCapPolicy", (side.people["issuer"], guardian, TIERS)),
        ("sanctions", "SanctionsPolicy", (side.people["issuer"],)),
        ("approved", "ApprovedModelPolicy", (side.address("models"),)),
    ):
        side.add_contract(name, _deploy(side, what, engine, owner, *arguments))
    attested = (side.address("attestor"), RISK, side.address("sliding"), 2 * DAY)
    side.add_contract("risk", _deploy(side, "VarAttestationPolicy", engine, owner, *attested))


def _registry(side: Side, theirs: Mapping[str, Any], what: str) -> Contract:
    owner, engine = side.people["owner"], side.address("engine")
    if side.parts_are_ace:
        return _behind_proxy(side, theirs, what, engine, owner)
    return _deploy(side, what, owner, engine)


def _policy(side: Side, theirs: Mapping[str, Any], what: str) -> Contract:
    owner, engine = side.people["owner"], side.address("engine")
    given = CONFIGURATION.get(what, ())
    if side.parts_are_ace:
        packed = encode([kind for kind, _ in given], [value for _, value in given])
        return _behind_proxy(side, theirs, THEIRS.get(what, what), engine, owner, packed)
    lists = {"AuthorizedSenderPolicy": ([],), "CertifiedActionPolicy": ([owner],)}
    return _deploy(side, what, engine, owner, *lists.get(what, tuple(value for _, value in given)))


def _behind_proxy(side: Side, theirs: Mapping[str, Any], what: str, *arguments: Any) -> Contract:
    made = theirs[what]
    logic = _create(side, made["abi"], made["bytecode"])
    data = logic.encode_abi("initialize", list(arguments))
    proxy = theirs["ERC1967Proxy"]
    address = _create(side, proxy["abi"], proxy["bytecode"], logic.address, data).address
    return side.web3.eth.contract(address=address, abi=made["abi"])


def _deploy(side: Side, what: str, *arguments: Any, file: str | None = None) -> Contract:
    made = artifact(what, file)
    return _create(side, made["abi"], made["bytecode"]["object"], *arguments)


def _create(side: Side, abi: Any, bytecode: str, *arguments: Any) -> Contract:
    web3 = side.web3
    data = web3.eth.contract(abi=abi, bytecode=HexBytes(bytecode)).constructor(*arguments).data_in_transaction
    call = {"from": side.people["owner"], "data": data, "gas": hex(15_000_000)}
    receipt = side.wire.send(call)
    if int(receipt["status"], 16) != 1:
        raise AssertionError("a contract was not deployed")
    return web3.eth.contract(address=Web3.to_checksum_address(receipt["contractAddress"]), abi=abi)
