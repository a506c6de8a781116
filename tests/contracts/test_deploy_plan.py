"""What a deployment plan refuses before anything is sent."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from scripts.deploy._plan import (
    ANVIL_ACCOUNTS,
    CIRCUITS,
    DELTA,
    G2_GENERATOR,
    GAMMA,
    ROLES,
    Plan,
    PlanRefused,
    circuits,
    refuse_foreign,
    shapes,
)
from scripts.deploy._policies import policy_struct

MAINNET = 10
LOCAL = 42069
DEPLOYER = "0x" + "de" * 20
VOTER = "0x" + "70" * 20


def plan(**changes: Any) -> str:
    """Return a plan's text, with the given parts in place of its own."""
    roles = {role: "0x" + f"{place + 1:02x}" * 20 for place, role in enumerate(ROLES)}
    return json.dumps({"roles": roles, "voters": [VOTER], "out": "deployments/test"} | changes)


def key(circuit: str = "var_16_90", **parts: bytes) -> dict[str, Any]:
    """Return a circuit's verifier with a key whose gamma and delta are the given ones."""
    body = bytearray(i * 7 % 251 for i in range(448 + 256))
    body[GAMMA] = parts.get("gamma", b"\x01" * 128)
    body[DELTA] = parts.get("delta", b"\x02" * 128)
    return {"circuit": circuit, "key": "0x" + body.hex(), "insecure": False}


@pytest.mark.parametrize("chain_id", [31337, LOCAL])
def test_public_keys_are_allowed_on_local_chains(chain_id: int) -> None:
    for account in ANVIL_ACCOUNTS:
        Plan.from_json(plan(voters=[account])).refuse_unsafe(chain_id, DEPLOYER)
        Plan.from_json(plan()).refuse_unsafe(chain_id, account)


def test_the_accounts_that_development_nodes_start_with_are_all_known() -> None:
    Account.enable_unaudited_hdwallet_features()
    words = "test " * 11 + "junk"
    derived = {Account.from_mnemonic(words, account_path=f"m/44'/60'/0'/0/{place}").address for place in range(20)}
    assert {address.lower() for address in derived} == ANVIL_ACCOUNTS


@pytest.mark.parametrize("account", sorted(ANVIL_ACCOUNTS))
def test_public_keys_are_refused_anywhere_else(account: str) -> None:
    roles = json.loads(plan())["roles"]
    for text, deployer in (
        (plan(), account.upper().replace("0X", "0x")),
        (plan(voters=[account]), DEPLOYER),
        (plan(roles=roles | {"guardian": account}), DEPLOYER),
    ):
        with pytest.raises(PlanRefused, match=f"chain 10: {account}"):
            Plan.from_json(text).refuse_unsafe(MAINNET, deployer)


@pytest.mark.parametrize("chain_id", [LOCAL, MAINNET])
def test_a_deployer_with_a_role_or_a_vote_is_refused_everywhere(chain_id: int) -> None:
    planned = Plan.from_json(plan())
    for account in (VOTER, *planned.roles.values()):
        with pytest.raises(PlanRefused, match=r"the deployer .* keeps nothing"):
            planned.refuse_unsafe(chain_id, account.upper().replace("0X", "0x"))
    planned.refuse_unsafe(chain_id, DEPLOYER)


def test_offices_that_a_plan_does_not_give_are_the_issuers_and_the_operators() -> None:
    roles, other = json.loads(plan())["roles"], "0x" + "0f" * 20
    planned = Plan.from_json(plan()).roles
    assert planned["registrar"] == planned["lister"] == roles["issuer"]
    assert planned["reviewer"] == planned["steward"] == roles["operator"]
    assert Plan.from_json(plan(roles=roles | {"reviewer": other})).roles["reviewer"] == other
    with pytest.raises(PlanRefused, match="no such role: overseer"):
        Plan.from_json(plan(roles=roles | {"overseer": other}))


def test_orders_require_only_a_var_policy_that_the_plan_defines() -> None:
    known = json.loads(policies()) | {"var_requirement": {"policy_id": "0x" + "01" * 32, "max_age_seconds": 86_400}}
    Plan.from_json(json.dumps(known)).refuse_unsafe(LOCAL, DEPLOYER)
    known["var_requirement"]["policy_id"] = "0x" + "02" * 32
    with pytest.raises(PlanRefused, match="cannot require a VaR policy"):
        Plan.from_json(json.dumps(known)).refuse_unsafe(LOCAL, DEPLOYER)


def test_a_plan_of_other_accounts_is_accepted_anywhere() -> None:
    Plan.from_json(plan(verifiers={"VarVerifier16x90": key()})).refuse_unsafe(MAINNET, DEPLOYER)


def test_an_insecure_verifying_key_stays_on_local_chains() -> None:
    marked = Plan.from_json(plan(verifiers={"VarVerifier16x90": key() | {"insecure": True}}))
    marked.refuse_unsafe(LOCAL, DEPLOYER)
    with pytest.raises(PlanRefused, match="INSECURE verifying keys are refused on chain 10: VarVerifier16x90"):
        marked.refuse_unsafe(MAINNET, DEPLOYER)


@pytest.mark.parametrize(
    "forgeable",
    [
        key(gamma=b"\x03" * 128, delta=b"\x03" * 128),
        key(gamma=b"\x03" * 64 + b"\x04" * 64, delta=b"\x03" * 64 + b"\x05" * 64),
        key(delta=G2_GENERATOR),
        key(gamma=bytes(128)),
        key(delta=bytes(128)),
        key() | {"key": "0x" + "00" * 64 + key()["key"].removeprefix("0x")[128:]},
        key() | {"key": "0x" + "11" * 100},
        key() | {"key": key()["key"] + "11" * 64},
    ],
    ids=[
        "gamma is delta",
        "gamma is -delta",
        "generator",
        "no gamma",
        "no delta",
        "no alpha",
        "too short",
        "four inputs",
    ],
)
@pytest.mark.parametrize("chain_id", [LOCAL, MAINNET])
def test_a_key_with_which_anything_can_be_proved_is_refused_everywhere(
    forgeable: dict[str, Any], chain_id: int
) -> None:
    with pytest.raises(PlanRefused, match="VarVerifier16x90"):
        Plan.from_json(plan(verifiers={"VarVerifier16x90": forgeable})).refuse_unsafe(chain_id, DEPLOYER)


def test_logs_universes_and_policies_are_left_to_governance_off_a_local_chain() -> None:
    logged = Plan.from_json(plan(log={"origin": "refi.trading/test", "public_key": "0x" + "11" * 32}))
    logged.refuse_unsafe(LOCAL, DEPLOYER)
    with pytest.raises(PlanRefused, match="registered by governance on chain 10"):
        logged.refuse_unsafe(MAINNET, DEPLOYER)


def policies(instruments: int = 16, window: int = 90, verifier: str = "VarVerifier16x90", **changes: Any) -> str:
    """Return a plan with one VaR policy over a universe."""
    policy = {"policy_id": "0x" + "01" * 32, "limit": 1, "circuit_hash": "0x" + "02" * 32, "verifier": verifier}
    tickers = [f"T{number}" for number in range(instruments)]
    universe = {"instruments": tickers, "window": window}
    circuit = next((name for name, shape in circuits().items() if shape.verifier == verifier), "var_16_90")
    return plan(verifiers={verifier: key(circuit)}, universe=universe, var_policies=[policy | changes])


def test_a_policy_has_the_shape_of_its_verifiers_circuit() -> None:
    planned = Plan.from_json(policies())
    planned.refuse_unsafe(LOCAL, DEPLOYER)
    words = policy_struct(planned, planned.var_policies[0], "0x" + "ab" * 20)
    assert words[1:12] == ("0x" + "ab" * 20, 16, 90, 5, 9, 2, 40, 82, 83, 1, 0)
    for misfit in (policies(instruments=12), policies(window=30)):
        with pytest.raises(PlanRefused, match=r"proves \(N, W\) = \(16, 90\)"):
            Plan.from_json(misfit).refuse_unsafe(LOCAL, DEPLOYER)
    unknown = json.loads(policies(verifier="VarVerifier8x90")) | {"verifiers": {}}
    with pytest.raises(PlanRefused, match="no circuit belongs to the verifier VarVerifier8x90"):
        Plan.from_json(json.dumps(unknown)).refuse_unsafe(LOCAL, DEPLOYER)
    keyless = json.loads(policies()) | {"verifiers": {"VarVerifier16x90Es": key("var_16_90_es")}}
    with pytest.raises(PlanRefused, match="no verifying key of the verifier VarVerifier16x90"):
        Plan.from_json(json.dumps(keyless)).refuse_unsafe(LOCAL, DEPLOYER)


def test_a_plan_cannot_choose_a_policys_shape() -> None:
    own = Plan.from_json(policies(k=2, window_days=1, tail=[1, 1], pnl_bits=200))
    assert policy_struct(own, own.var_policies[0], DEPLOYER) == policy_struct(
        Plan.from_json(policies()), Plan.from_json(policies()).var_policies[0], DEPLOYER
    )


def test_an_expected_shortfall_limit_goes_with_a_circuit_that_proves_it_and_only_there() -> None:
    proving = Plan.from_json(policies(verifier="VarVerifier16x90Es", es_limit=2))
    proving.refuse_unsafe(LOCAL, DEPLOYER)
    assert policy_struct(proving, proving.var_policies[0], DEPLOYER)[10:12] == (1, 2)
    with pytest.raises(PlanRefused, match="VarVerifier16x90 takes no es_limit"):
        Plan.from_json(policies(es_limit=2)).refuse_unsafe(LOCAL, DEPLOYER)
    with pytest.raises(PlanRefused, match="VarVerifier16x90Es takes an es_limit"):
        Plan.from_json(policies(verifier="VarVerifier16x90Es")).refuse_unsafe(LOCAL, DEPLOYER)


@pytest.mark.parametrize("changes", [{"limit": 1 << 82}, {"limit": -1}, {"es_limit": 1 << 82}])
def test_a_limit_that_no_circuit_holds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PlanRefused, match=r"between 0 and 2\^82"):
        Plan.from_json(policies(**changes)).refuse_unsafe(LOCAL, DEPLOYER)


def test_every_circuit_is_known_by_its_verifiers_name() -> None:
    assert len(shapes()) == len(json.loads(CIRCUITS.read_text()))
    assert (shapes()["VarVerifier64x250Es"].k, shapes()["VarVerifier64x250Es"].tail) == (13, [25, 2])


def test_the_verifier_of_a_test_circuit_stays_on_local_chains() -> None:
    small = Plan.from_json(plan(verifiers={"VarVerifier4x8Es": key("var_4_8_es")}))
    small.refuse_unsafe(LOCAL, DEPLOYER)
    with pytest.raises(PlanRefused, match="verifiers of test circuits are refused on chain 10: VarVerifier4x8Es"):
        small.refuse_unsafe(MAINNET, DEPLOYER)


@pytest.mark.parametrize("chain_id", [LOCAL, MAINNET])
def test_a_key_under_the_name_of_another_circuits_verifier_is_refused(chain_id: int) -> None:
    for circuit in ("var_4_8_es", "var_16_90", "var_64_90_es"):
        misnamed = Plan.from_json(plan(verifiers={"VarVerifier16x90Es": key(circuit)}))
        with pytest.raises(PlanRefused, match=f"{circuit} is verified by VarVerifier.*, not by VarVerifier16x90Es"):
            misnamed.refuse_unsafe(chain_id, DEPLOYER)
    strange = Plan.from_json(plan(verifiers={"VarVerifier16x90Es": key("var_inside_16_90")}))
    with pytest.raises(PlanRefused, match="of no circuit that is known: var_inside_16_90"):
        strange.refuse_unsafe(chain_id, DEPLOYER)
    Plan.from_json(plan(verifiers={"VarVerifier16x90Es": key("var_16_90_es")})).refuse_unsafe(chain_id, DEPLOYER)


def test_a_platform_that_nobody_could_govern_stays_on_local_chains() -> None:
    orphan = Plan.from_json(plan(voters=[]))
    orphan.refuse_unsafe(LOCAL, DEPLOYER)
    with pytest.raises(PlanRefused, match="without voters nobody could ever decide anything on chain 10"):
        orphan.refuse_unsafe(MAINNET, DEPLOYER)


@pytest.mark.parametrize("chain_id", [LOCAL, MAINNET])
def test_a_voter_named_twice_is_refused(chain_id: int) -> None:
    with pytest.raises(PlanRefused, match="named twice"):
        Plan.from_json(plan(voters=[VOTER, VOTER.upper().replace("0X", "0x")])).refuse_unsafe(chain_id, DEPLOYER)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "malformed"),
        ("[]", "malformed"),
        ("{}", "lacks 'roles'"),
        (plan(roles={}), "lacks 'operator'"),
        (plan(voters=["0x12"]), "expected 20 bytes, found 1"),
        (plan(voters=["0x" + "00" * 20]), "zero address"),
        (plan(log={"origin": "a", "public_key": "0x00"}), "expected 32 bytes"),
        (plan(max_notional_usd="a lot"), "malformed"),
        (plan(verifiers={"VarVerifier": {"circuit": "a", "key": "0x00"}}), "lacks 'insecure'"),
        (plan(verifiers={"VarVerifier": key() | {"insecure": 0}}), "true or false"),
        (plan(verifiers={"VarVerifier16x90": {"key": "0x00", "insecure": False}}), "lacks 'circuit'"),
        (plan(verifiers={"AuditAnchor": key()}), "not 'AuditAnchor'"),
        (plan(verifiers={"VarVerifier/../../x": key()}), "a verifier is called VarVerifier"),
    ],
)
def test_a_malformed_plan_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(PlanRefused, match=reason):
        Plan.from_json(text)


def test_only_a_deployment_is_replaced(tmp_path: Path) -> None:
    refuse_foreign(tmp_path / "none")
    refuse_foreign(tmp_path)
    (tmp_path / "AuditAnchor.json").write_text("{}")
    refuse_foreign(tmp_path)
    (tmp_path / "AuditAnchor.sol").write_text("")
    for out in (tmp_path, tmp_path / "AuditAnchor.sol"):
        with pytest.raises(PlanRefused, match="holds more than a deployment"):
            refuse_foreign(out)
