"""Every event that the log may hold: on whose chain, with which fields, and what it says; docs/events.md shows it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Chain = Literal["account", "system", "either"]
# What the journal itself writes into every record.
COMMON = ("event", "account", "seq", "prev", "ts_event", "ts_recorded", "clock", "actor", "policy")
DECISION = (
    "decision_id", "instrument", "side", "quantity", "subject", "investment_decision", "execution_decision", "model",
    "features", "action",
)  # fmt: skip
ORDER = (
    *DECISION, "order_id", "venue", "venue_order_id", "parent", "price", "currency", "notional", "fee", "executed_at",
    "type", "time_in_force", "capacity", "model_state", "compliance_verdict", "compliance_receipt", "risk_verdict",
    "risk_decision", "risk_figures", "gate", "rule", "reason", "reconciliation",
)  # fmt: skip
COUNTS = ("ours", "theirs", "matched", "differences", "unresolved")
HALT = ("halt", "scope", "subject", "reason")
MODEL = ("model", "proposal_id", "torchscript_cid")
CREDENTIAL = ("subject", "type", "ccid", "tx_hash", "block_number")
CASE = (
    "case_id", "kind", "state", "round", "provider", "reference_sha256", "finding", "screening", "screening_reference",
    "reason", "expires_at",
)  # fmt: skip
MEMBER = ("case_id", "subject")
SCREENING_HIT = (
    "hit", "reference", "list", "list_version", "entry_id", "content_sha256", "kind", "score", "wallet",
)  # fmt: skip
LISTED = ("reference", "subject", "list_version", "tx_hash", "block_number")
ARTIFACT = ("cid", "kind", "size", "sha256", "profile")
ERASURE = ("erased", "kept", "left", "until", "reason", "legal_basis", "operator")
COMMITMENT = ("position_commitment", "position_salt")
ATTESTED = ("subject", "epoch", "policy_id", "position_commitment", "returns_id", "limit")


@dataclass(frozen=True, slots=True)
class Event:
    """What an event says, on whose chain it stands, and its fields beside the common ones; some may be left out."""

    says: str
    chain: Chain
    fields: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    def allows(self, who: str, names: Iterable[str]) -> bool:
        """Return whether a record of "system" or of an account has this event's chain and fields."""
        found = set(names) - set(COMMON)
        right = self.chain == "either" or (self.chain == "system") == (who == "system")
        return right and set(self.fields) <= found <= {*self.fields, *self.optional}


def _proposal(state: str) -> Event:
    tally = ("votes_against", "votes_for", "votes_abstain")
    return Event(f"A model's promotion is {state}; the votes so far (18 decimals)", "system", (*MODEL, *tally))


EVENTS: Mapping[str, Event] = {
    "account.opened": Event("A wallet signed in for the first time", "account", ("subject", "epoch", *COMMITMENT)),
    "account.roles_changed": Event(
        "An administrator gave an account other roles", "system", ("subject", "roles_before", "roles_after")
    ),
    "login": Event("A wallet signed in", "account", ("method",)),
    "login.failed": Event(
        "A sign-in was refused and why; at most 60 a minute are recorded", "system", ("reason", "subject")
    ),
    "logout": Event("A session was ended by its owner", "account"),
    "session.reuse_detected": Event("A refresh token came a second time: the session is over", "account"),
    "decision.held": Event("A model decided to do nothing", "account", DECISION),
    "order.filled": Event("An order passed every gate and was filled", "account", ORDER),
    "order.refused": Event("A gate or the venue refused an order: gate, rule and reason", "account", ORDER),
    "order.unknown": Event("An order passed every gate and the venue did not say what became of it", "account", ORDER),
    "order.cancelled": Event("Its owner withdrew an order of unknown fate before it was filled", "account", ORDER),
    "halt.tripped": Event("A kill switch stopped an account's orders, or everybody's", "system", HALT),
    "halt.taken_over": Event("A halt of its owner's became the platform's", "system", HALT),
    "halt.reviewed": Event("Somebody looks at a halt", "system", HALT),
    "halt.rearmed": Event("Orders pass again", "system", HALT),
    "risk.limit_changed": Event(
        "An operator gave an account another VaR limit", "system", ("subject", "var_limit_before", "var_limit")
    ),
    "risk.performance_reviewed": Event("An operator reviewed an account", "system", ("subject", "note")),
    "credential.issued": Event(
        "A wallet got a credential on chain, or another end to it", "system", (*CREDENTIAL, "expires_at")
    ),
    "credential.revoked": Event("A credential was taken from a wallet", "system", CREDENTIAL),
    "compliance.rules_changed": Event(
        "Something on chain changed that a verdict may rest on, as of a block: earlier verdicts count no more",
        "system",
        ("version", "block_number", "block_hash", "changes"),
    ),
    "compliance.limit_moved": Event(
        "An operator moved a limit on chain as far as its steward's rule lets one; USD",
        "system",
        ("limit_of", "limit_before", "limit", "tx_hash", "block_number"),
    ),
    "volume.settled": Event(
        "What accounts have traded off chain was put on chain: how many accounts, and the USD added over all",
        "system",
        ("tx_hash", "block_number", "accounts", "added"),
    ),
    "screening.list_updated": Event(
        "A sanctions list was put in force; `forced`: although it has fewer than half the entries of the one before",
        "system",
        ("list", "format", "list_version", "entries", "list_version_before", "entries_before", "forced"),
    ),
    "screening.completed": Event(
        "Somebody was screened, and it came to something else than before",
        "system",
        ("reference", "outcome", "hits", "lists"),
    ),
    "screening.hit": Event("Somebody looks like an entry of a list: a person must look", "system", SCREENING_HIT),
    "screening.resolved": Event(
        "A reviewer decided on a hit; the reason stays with the hit",
        "system",
        (*SCREENING_HIT, "decision", "reason_sha256"),
    ),
    "screening.wallet_listed": Event("A blocked wallet was put on the chain's sanctions list", "system", LISTED),
    "screening.wallet_unlisted": Event("A wallet was taken off the chain's sanctions list", "system", LISTED),
    "onboarding.started": Event("A wallet asked to be identified, or for a new review", "account", CASE),
    "onboarding.pending": Event("The identity provider has a case", "account", CASE),
    "onboarding.needs_review": Event("A case waits for an operator", "account", CASE),
    "onboarding.screened": Event("A case was screened again, and something else was found", "account", CASE),
    "onboarding.seconding": Event("The first of two operators approved an organisation", "account", CASE),
    "onboarding.approved": Event("A case was approved; its credentials follow on chain", "account", CASE),
    "onboarding.rejected": Event("An operator rejected a case, and why as a code", "account", CASE),
    "onboarding.renewal_due": Event("A case's credentials end soon", "account", CASE),
    "onboarding.expired": Event("A case's credentials have ended", "account", CASE),
    "onboarding.withdrawn": Event("Its owner ended a case: who they are is erased", "account", CASE),
    "onboarding.disclosed": Event("An operator was shown who a case's applicant is", "system", ("case_id",)),
    **{
        f"onboarding.member_{done}": Event(f"A further wallet of an organisation {says}", "account", MEMBER)
        for done, says in (
            ("invited", "was named"),
            ("accepted", "accepted"),
            ("registered", "got its identity on chain"),
            ("leaving", "is to leave"),
            ("removed", "has its identity no more, or has another one"),
        )
    },
    "market.day_opened": Event("The business clock moved to another day", "system", ("day", "day_before", "epoch")),
    "fee.rebated": Event(
        "An account got a share of its fees of past days back for its stake, as of a block",
        "account",
        ("orders", "fees", "rebate", "rebate_bps", "tier", "block_number"),
    ),
    "reconciliation.completed": Event(
        "An account's fills of a day were compared with the venue's books; order ids where they differ",
        "account",
        (
            *("reconciliation", "day", "epoch", "venue", *COUNTS),
            *("missing_here", "missing_there", "differing", "repeated", "resolved"),
        ),
    ),
    "reconciliation.summarised": Event(
        "A day was compared with the venue's books over every account",
        "system",
        ("day", "epoch", "venue", "accounts", *COUNTS),
    ),
    "epoch.closed": Event(
        "An account's positions at the end of an epoch were committed to",
        "account",
        ("subject", "epoch", *COMMITMENT, "universe_id"),
    ),
    "epoch.refused": Event("An account's positions cannot be committed to", "account", ("epoch", "rule", "reason")),
    "returns.published": Event(
        "A day's matrix of returns is on chain", "system", ("universe_id", "epoch", "returns_id", "cid", "tx_hash")
    ),
    "returns.refused": Event(
        "A day's market data is incomplete, stale, jumping or out of range: no matrix is published",
        "system",
        ("universe_id", "epoch", "rule", "reason", "day", "instrument"),
    ),
    "returns.countersigned": Event(
        "A second publisher made the same matrix of its own data and signed it on chain",
        "system",
        ("universe_id", "epoch", "returns_id", "publisher", "tx_hash"),
    ),
    "returns.disputed": Event(
        "A second publisher's own data gives another matrix, and where it first differs: it did not sign",
        "system",
        ("universe_id", "epoch", "returns_id", "publisher", "reason"),
    ),
    "var.requested": Event("Somebody asked for an attestation", "account", ("subject", "epoch", "policy_id", "job")),
    "var.attested": Event(
        "The chain accepted the proof that positions keep the limits",
        "account",
        (*ATTESTED, "previous", "anchor_index", "tx_hash"),
        ("es_limit",),
    ),
    "var.breach": Event(
        "Positions do not keep a limit (`broken`: var, es): no proof was made",
        "account",
        (*ATTESTED, "broken", "var"),
        ("es", "es_limit"),
    ),
    "var.failed": Event(
        "An attempt came to no attestation, and the kind of fault; on the system's chain where no epoch was closed",
        "either",
        ("subject", "epoch", "policy_id", "job", "reason"),
    ),
    "job.cancelled": Event("Somebody cancelled a background job", "account", ("job", "name")),
    "anchor.requested": Event("An operator asked for an anchor", "system"),
    "artifact.pinned": Event("A content store keeps published bytes", "system", ARTIFACT),
    "artifact.refused": Event("The content store will not keep published bytes", "system", ARTIFACT),
    "model.proposed": Event(
        "A model was published and put into the registry",
        "system",
        (*MODEL, "card_cid", "report_cid", "feature_schema_sha256", "tx_hash"),
    ),
    "model.proposed_again": Event(
        "A model got another proposal: the last one cannot be sent any more", "system", MODEL
    ),
    "governance.proposed": Event("An operator sent a proposal to the governor", "system", ("proposal_id", "tx_hash")),
    "governance.voted": Event(
        "An operator voted with the platform's key", "system", ("proposal_id", "support", "reason", "tx_hash")
    ),
    "governance.delegated": Event("An operator delegated the platform key's votes", "system", ("to", "tx_hash")),
    **{
        f"governance.{step}": Event(f"An operator {step} a proposal", "system", ("proposal_id", "tx_hash"))
        for step in ("queued", "executed", "cancelled")
    },
    "model.approved": Event("The DAO approved a model", "system", MODEL),
    "model.production": Event("A model may trade from now on", "system", MODEL),
    "model.retired": Event("A model may trade no more", "system", MODEL),
    "model.revoked": Event("The guardian took a model out at once", "system", MODEL),
    **{
        f"proposal.{state}": _proposal(state)
        for state in ("pending", "active", "canceled", "defeated", "succeeded", "queued", "expired", "executed")
    },
    "evidence.disclosed": Event(
        "Fields of records, or heads, were shown to somebody",
        "system",
        ("fields",),
        (
            "entry",
            "of_account",
            "first_seq",
            "last_seq",
            "first_entry",
            "last_entry",
            "first_anchor",
            "last_anchor",
            "accounts",
        ),
    ),
    "erasure": Event("Records beyond the legal retention were erased", "account", ERASURE),
    "erasure.refused": Event("Nothing was erased: the law keeps it", "account", ERASURE),
}

PAGE = """# Events of the log

Made from `backend/pipeline/events.py` by `python -m scripts.export_events`; a test compares the two, and every record
that the API's tests leave with the table. The event's name is public (the entry's `t`), its fields are not.

Every record holds {common}
(see [evidence.md](evidence.md) 2). Chain "account" is the chain of the account that the event is about or that acted;
"system" is the deployment's own. Fields in brackets are there when they apply; an empty string says that a field of an
order is not known or does not apply. Amounts are decimals in USD, quantities shares, times UTC. No record holds a
key, a signature, a cookie or a network address. `position_salt` is to stay among few: whoever is shown a record of
it, fully disclosed, can test guesses of the positions against the public `position_commitment`. The platform shows such
fields to the account's owner and to a regulator only; to whom an owner hands their pack is for the owner to say.

What leaves no record: reading (but for disclosures), a nonce, a renewed access token, a repeat that changes nothing,
and a request that fails before a gate has judged it (malformed, not signed in, not allowed, not found, in conflict).
Failed sign-ins are recorded 60 a minute at most, over all clients; beyond that the rate limiter and the metrics count.

Order records name what a trade audit asks for so: order id `order_id`; venue order id `venue_order_id`, at `venue`;
parent `parent`; `instrument`, `side`, `quantity`, `price`, `currency`; type `type`; time in force `time_in_force`;
capacity `capacity`; investment decision maker `investment_decision` (a wallet); execution decision maker
`execution_decision` (the model's hash, or the wallet of a person who decided alone); feature hash `features`;
compliance decision `compliance_verdict` and the hash of its receipt `compliance_receipt`; risk decision
`risk_verdict`, `risk_decision` and the figures and limits that it looked at `risk_figures`; reason code `rule` of the
gate `gate`, in words `reason`. An order that passed holds both gates' verdicts. `compliance_verdict` is that of the
receipt: "grace" for a reduction that went through while the rules on chain did not answer. `model_state` is
"production" or, for a model that no vote stands behind (at a venue without money only), "unapproved"; empty where a
person decided.

| event | chain | what it says | fields |
|---|---|---|---|
"""


def page() -> str:
    """Return the table as a page."""
    return PAGE.format(common=", ".join(f"`{name}`" for name in COMMON)) + "".join(
        f"| `{name}` | {event.chain} | {event.says} | {_shown(event)} |\n" for name, event in sorted(EVENTS.items())
    )


def _shown(event: Event) -> str:
    if event.fields == ORDER:
        return "those of `decision.held`, and " + ", ".join(f"`{name}`" for name in ORDER if name not in DECISION)
    return ", ".join([*(f"`{name}`" for name in event.fields), *(f"[`{name}`]" for name in event.optional)])
