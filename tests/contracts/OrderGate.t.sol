// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CredentialRegistry} from "../../contracts/compliance/CredentialRegistry.sol";
import {IdentityRegistry} from "../../contracts/compliance/IdentityRegistry.sol";
import {OrderExtractor} from "../../contracts/compliance/OrderExtractor.sol";
import {OrderGate} from "../../contracts/compliance/OrderGate.sol";
import {PolicyEngine} from "../../contracts/compliance/PolicyEngine.sol";
import {ApprovedModelPolicy} from "../../contracts/compliance/policies/ApprovedModelPolicy.sol";
import {AuthorizedSenderPolicy} from "../../contracts/compliance/policies/AuthorizedSenderPolicy.sol";
import {CredentialValidatorPolicy} from "../../contracts/compliance/policies/CredentialValidatorPolicy.sol";
import {PausePolicy} from "../../contracts/compliance/policies/PausePolicy.sol";
import {VolumePolicy} from "../../contracts/compliance/policies/VolumePolicy.sol";
import {ModelRegistry} from "../../contracts/governance/ModelRegistry.sol";
import {ICredentialRequirements} from "../../contracts/interfaces/ICredentialRequirements.sol";
import {IOrderGate} from "../../contracts/interfaces/IOrderGate.sol";
import {IPolicy} from "../../contracts/interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../contracts/interfaces/IPolicyEngine.sol";
import {OrderContext} from "../../contracts/libraries/OrderContext.sol";
import {Base} from "./Base.t.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

contract OrderGateTest is Base {
    bytes32 private constant KYC = keccak256("common.kyc");
    bytes32 private constant CCID = keccak256("a person");
    bytes32 private constant MODEL = keccak256("a model");
    bytes32 private constant TICKER = "AAPL";
    uint256 private constant MAX = 50_000e6;
    uint40 private constant START = 1_451_606_400;

    PolicyEngine private engine;
    OrderGate private gate;
    IdentityRegistry private identities;
    CredentialRegistry private credentials;
    ModelRegistry private models;
    PausePolicy private pause;
    AuthorizedSenderPolicy private senders;
    AuthorizedSenderPolicy private issuers;
    CredentialValidatorPolicy private validator;
    VolumePolicy private volume;
    ApprovedModelPolicy private approved;

    function setUp() public {
        vm.warp(START);
        engine = new PolicyEngine(address(this));
        gate = new OrderGate(owner, address(engine));
        identities = new IdentityRegistry(owner, address(engine));
        credentials = new CredentialRegistry(owner, address(engine));
        models = new ModelRegistry(owner, guardian, one(relay));
        deployPolicies();
        engine.setExtractor(IOrderGate.submitOrder.selector, address(new OrderExtractor()));
        addToGate(pause, "");
        addToGate(senders, "");
        addToGate(validator, "account");
        addToGate(volume, "notional");
        addToGate(approved, "modelHash");
        engine.setTargetDefaultPolicyAllow(address(gate), true);
        protect(address(identities), IdentityRegistry.registerIdentity.selector);
        protect(address(identities), IdentityRegistry.removeIdentity.selector);
        protect(address(credentials), CredentialRegistry.registerCredential.selector);
        protect(address(credentials), CredentialRegistry.removeCredential.selector);
        protect(address(credentials), CredentialRegistry.renewCredential.selector);
        engine.setTargetDefaultPolicyAllow(address(identities), true);
        engine.setTargetDefaultPolicyAllow(address(credentials), true);
    }

    function test_an_order_is_refused_before_kyc_and_passes_after() public {
        refuse(1e6, bytes32(0), address(validator), "account identity validation failed");
        know(START + 1 days);
        accept(1e6, bytes32(0));
    }

    function test_an_accepted_order_leaves_both_events() public {
        know(0);
        vm.expectEmit();
        emit IOrderGate.OrderSubmitted(trader, TICKER, bytes32(0), 1e6, relay);
        accept(1e6, bytes32(0));
    }

    function test_an_identity_without_the_credential_is_refused() public {
        vm.prank(issuer);
        identities.registerIdentity(CCID, trader, "");
        refuse(1e6, bytes32(0), address(validator), "account identity validation failed");
    }

    function test_a_credential_ends_at_its_moment_and_lives_on_when_renewed() public {
        know(START + 1 days);
        vm.warp(START + 1 days - 1);
        accept(1e6, bytes32(0));
        vm.warp(START + 1 days);
        refuse(1e6, bytes32(0), address(validator), "account identity validation failed");
        vm.prank(issuer);
        credentials.renewCredential(CCID, KYC, START + 9 days, "");
        accept(1e6, bytes32(0));
        vm.prank(issuer);
        credentials.removeCredential(CCID, KYC, "");
        refuse(1e6, bytes32(0), address(validator), "account identity validation failed");
    }

    function test_a_removed_identity_is_refused() public {
        know(0);
        vm.prank(issuer);
        identities.removeIdentity(CCID, trader, "");
        refuse(1e6, bytes32(0), address(validator), "account identity validation failed");
    }

    function testFuzz_volume_is_bounded_on_both_sides(uint256 notional) public {
        know(0);
        if (notional >= 1 && notional <= MAX) accept(notional, bytes32(0));
        else refuse(notional, bytes32(0), address(volume), "amount outside allowed volume limits");
    }

    function test_the_limits_themselves_are_allowed() public {
        know(0);
        accept(1, bytes32(0));
        accept(MAX, bytes32(0));
        refuse(0, bytes32(0), address(volume), "amount outside allowed volume limits");
        refuse(MAX + 1, bytes32(0), address(volume), "amount outside allowed volume limits");
    }

    function test_the_guardian_pauses_and_resumes() public {
        know(0);
        vm.prank(guardian);
        pause.setPausedState(true);
        refuse(1e6, bytes32(0), address(pause), "contract is paused");
        vm.prank(guardian);
        pause.setPausedState(false);
        accept(1e6, bytes32(0));
    }

    function test_nobody_else_pauses() public {
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, owner));
        pause.setPausedState(true);
    }

    function testFuzz_a_sender_that_is_not_listed_is_refused(address sender) public {
        vm.assume(sender != relay && sender != address(0));
        know(0);
        expectRejection(sender, 1e6, bytes32(0), address(senders), "sender is not authorized");
        vm.prank(sender);
        gate.submitOrder(trader, TICKER, 1e6, bytes32(0));
    }

    function test_a_model_decides_only_in_production() public {
        know(0);
        string memory reason = "model is not in production";
        refuse(1e6, MODEL, address(approved), reason);
        vm.prank(relay);
        models.propose(MODEL, "cid", bytes32(0), "cid");
        refuse(1e6, MODEL, address(approved), reason);
        vm.startPrank(owner);
        models.approve(MODEL);
        vm.stopPrank();
        refuse(1e6, MODEL, address(approved), reason);
        vm.prank(owner);
        models.promote(MODEL);
        accept(1e6, MODEL);
        vm.prank(guardian);
        models.revoke(MODEL);
        refuse(1e6, MODEL, address(approved), reason);
    }

    function test_a_paper_order_passes_the_check_with_any_model_and_is_never_submitted() public {
        know(0);
        bytes memory paper = abi.encode(OrderContext.TAG, uint256(0), true);
        requireEqual(0, refusalOf(1e6, MODEL, paper).length);
        requireTrue(refusalOf(1e6, MODEL, "").length > 0, "not without the context");
        requireTrue(refusalOf(1e6, MODEL, abi.encode(OrderContext.TAG, uint256(0), false)).length > 0, "nor live");
        requireTrue(refusalOf(MAX + 1, MODEL, paper).length > 0, "other rules hold");
        bytes32[2] memory deciders = [MODEL, bytes32(0)];
        for (uint256 i = 0; i < deciders.length; i++) {
            vm.startPrank(relay);
            gate.setContext(paper);
            IPolicyEngine.Payload memory payload = payloadOf(relay, 1e6, deciders[i]);
            payload.context = paper;
            bytes memory reason = abi.encodeWithSelector(ApprovedModelPolicy.PaperOrder.selector);
            vm.expectRevert(
                abi.encodeWithSelector(IPolicyEngine.PolicyPostRunError.selector, approved, reason, payload)
            );
            gate.submitOrder(trader, TICKER, 1e6, deciders[i]);
            gate.clearContext();
            vm.stopPrank();
        }
        accept(1e6, bytes32(0));
    }

    function test_many_orders_are_checked_in_one_call_each_with_its_own_answer() public {
        know(0);
        IOrderGate.OrderCheck[] memory orders = new IOrderGate.OrderCheck[](4);
        orders[0] = IOrderGate.OrderCheck(trader, TICKER, 1e6, bytes32(0), "");
        orders[1] = IOrderGate.OrderCheck(trader, TICKER, MAX + 1, bytes32(0), "");
        orders[2] = IOrderGate.OrderCheck(stranger, TICKER, 1e6, bytes32(0), "");
        orders[3] = IOrderGate.OrderCheck(trader, TICKER, MAX, bytes32(0), "anything");
        bytes[] memory refusals = gate.checkOrders(relay, orders);
        requireEqual(0, refusals[0].length);
        requireEqual(
            keccak256(
                abi.encodeWithSelector(
                    IPolicyEngine.PolicyRunRejected.selector,
                    volume,
                    "amount outside allowed volume limits",
                    payloadOf(relay, MAX + 1, bytes32(0))
                )
            ),
            keccak256(refusals[1])
        );
        requireEqual(IPolicyEngine.PolicyRunRejected.selector, bytes4(refusals[2]));
        requireEqual(0, refusals[3].length);
        refusals = gate.checkOrders(stranger, orders);
        requireTrue(refusals[0].length > 0 && refusals[3].length > 0, "the sender is asked about too");
        requireEqual(0, gate.checkOrders(relay, new IOrderGate.OrderCheck[](0)).length);
    }

    function testFuzz_no_amount_of_gas_makes_a_refused_order_pass(uint256 gasLimit) public {
        IOrderGate.OrderCheck[] memory orders = new IOrderGate.OrderCheck[](12);
        for (uint256 i = 0; i < orders.length; i++) {
            orders[i] = IOrderGate.OrderCheck(trader, TICKER, 1e6, bytes32(0), "");
        }
        try gate.checkOrders{gas: gasLimit % 1_500_000}(relay, orders) returns (bytes[] memory refusals) {
            for (uint256 i = 0; i < refusals.length; i++) {
                requireTrue(refusals[i].length > 0, "passed for want of gas");
            }
        } catch {}
    }

    function test_an_engine_that_fails_without_a_word_passes_nothing() public {
        IOrderGate.OrderCheck[] memory orders = new IOrderGate.OrderCheck[](1);
        orders[0] = IOrderGate.OrderCheck(trader, TICKER, 1e6, bytes32(0), "");
        vm.etch(address(engine), hex"5f5ffd"); // revert(0, 0)
        requireEqual(
            keccak256(abi.encodeWithSelector(IOrderGate.CheckFailed.selector)),
            keccak256(gate.checkOrders(relay, orders)[0])
        );
        vm.etch(address(engine), "");
        try gate.checkOrders(relay, orders) {
            revert NotTrue("nothing answers");
        } catch {}
    }

    function testFuzz_check_and_run_agree(uint256 notional, bool isKnown, bool isPaused, address sender) public {
        vm.assume(sender != address(0));
        if (isKnown) know(0);
        if (isPaused) {
            vm.prank(guardian);
            pause.setPausedState(true);
        }
        bool checks = passesCheck(sender, notional);
        vm.prank(sender);
        (bool runs,) = address(gate).call(orderCall(notional, bytes32(0)));
        requireTrue(checks == runs, "check and run agree");
    }

    function test_a_target_without_policies_is_refused_whatever_the_default() public {
        engine.setDefaultPolicyAllow(true);
        OrderGate bare = new OrderGate(owner, address(engine));
        vm.prank(relay);
        vm.expectRevert(
            abi.encodeWithSelector(
                IPolicyEngine.PolicyRunRejected.selector,
                address(0),
                "no policy allowed the action and default is reject",
                payloadOf(relay, 1e6, bytes32(0))
            )
        );
        bare.submitOrder(trader, TICKER, 1e6, bytes32(0));
    }

    function test_a_target_that_does_not_allow_by_default_is_refused_after_all_policies_continue() public {
        know(0);
        engine.setTargetDefaultPolicyAllow(address(gate), false);
        refuse(1e6, bytes32(0), address(0), "no policy allowed the action and default is reject");
    }

    function test_a_contract_that_has_not_attached_is_refused() public {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IPolicyEngine.TargetNotAttached.selector, stranger));
        engine.run(payloadOf(relay, 1e6, bytes32(0)));
    }

    function test_the_gate_follows_its_owner_to_another_engine() public {
        know(0);
        PolicyEngine other = new PolicyEngine(address(this));
        vm.prank(owner);
        gate.attachPolicyEngine(address(other));
        requireTrue(!engine.isAttached(address(gate)) && other.isAttached(address(gate)), "moved");
        refuse(1e6, bytes32(0), address(0), "no policy allowed the action and default is reject");
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        gate.attachPolicyEngine(address(engine));
    }

    function test_only_admins_change_the_rules() public {
        bytes32 admin = engine.ADMIN_ROLE();
        vm.startPrank(stranger);
        bytes memory refusal =
            abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, stranger, admin);
        vm.expectRevert(refusal);
        engine.removePolicy(address(gate), IOrderGate.submitOrder.selector, address(pause));
        vm.expectRevert(refusal);
        engine.addPolicy(address(gate), IOrderGate.submitOrder.selector, address(issuers), new bytes32[](0));
        vm.expectRevert(refusal);
        engine.setTargetDefaultPolicyAllow(address(gate), true);
        vm.expectRevert(refusal);
        engine.setDefaultPolicyAllow(true);
        vm.expectRevert(refusal);
        engine.setExtractor(IOrderGate.submitOrder.selector, address(0));
    }

    function test_policies_keep_their_order_when_one_is_inserted_or_removed() public {
        bytes4 selector = IOrderGate.submitOrder.selector;
        engine.addPolicyAt(address(gate), selector, address(issuers), new bytes32[](0), 1);
        address[] memory chain = engine.getPolicies(address(gate), selector);
        requireEqual(address(pause), chain[0]);
        requireEqual(address(issuers), chain[1]);
        requireEqual(address(approved), chain[5]);
        engine.removePolicy(address(gate), selector, address(issuers));
        chain = engine.getPolicies(address(gate), selector);
        requireEqual(5, chain.length);
        requireEqual(address(senders), chain[1]);
        vm.expectRevert(abi.encodeWithSelector(IPolicy.InvalidParameters.selector, "Policy already added"));
        engine.addPolicy(address(gate), selector, address(pause), new bytes32[](0));
        vm.expectRevert(
            abi.encodeWithSelector(IPolicyEngine.PolicyNotAdded.selector, address(gate), selector, address(issuers))
        );
        engine.removePolicy(address(gate), selector, address(issuers));
    }

    function test_a_missing_parameter_or_extractor_refuses() public {
        know(0);
        engine.setExtractor(IOrderGate.submitOrder.selector, address(0));
        vm.prank(relay);
        vm.expectRevert(abi.encodeWithSelector(IPolicy.InvalidParameters.selector, "Missing policy parameters"));
        gate.submitOrder(trader, TICKER, 1e6, bytes32(0));
    }

    function test_only_issuers_write_to_the_registries() public {
        vm.startPrank(stranger);
        vm.expectPartialRevert(IPolicyEngine.PolicyRunRejected.selector);
        identities.registerIdentity(CCID, stranger, "");
        vm.expectPartialRevert(IPolicyEngine.PolicyRunRejected.selector);
        credentials.registerCredential(CCID, KYC, 0, "", "");
        vm.expectPartialRevert(IPolicyEngine.PolicyRunRejected.selector);
        credentials.renewCredential(CCID, KYC, 0, "");
        vm.stopPrank();
        vm.prank(issuer);
        vm.expectPartialRevert(IPolicyEngine.PolicyRunRejected.selector);
        credentials.registerCredentials(CCID, one(KYC), 0, new bytes[](1), "");
    }

    function test_whoever_configures_policies_does_not_speak_for_the_engine() public {
        engine.grantRole(engine.POLICY_CONFIG_ADMIN_ROLE(), guardian);
        bytes4[3] memory hooks = [IPolicy.onInstall.selector, IPolicy.onUninstall.selector, IPolicy.postRun.selector];
        for (uint256 i = 0; i < hooks.length; i++) {
            bytes memory arguments = i < 2
                ? abi.encode(IOrderGate.submitOrder.selector)
                : abi.encode(relay, address(gate), IOrderGate.submitOrder.selector, new bytes[](0), bytes(""));
            vm.prank(guardian);
            vm.expectRevert(
                abi.encodeWithSelector(
                    IPolicyEngine.PolicyConfigurationError.selector,
                    volume,
                    abi.encodeWithSelector(IPolicy.Unauthorized.selector)
                )
            );
            engine.setPolicyConfiguration(address(volume), 0, hooks[i], arguments);
        }
        requireEqual(0, engine.getPolicyConfigVersion(address(volume)));
    }

    function test_a_policy_serves_its_engine_only() public {
        vm.expectRevert(abi.encodeWithSelector(IPolicy.Unauthorized.selector));
        volume.postRun(relay, address(gate), IOrderGate.submitOrder.selector, new bytes[](0), "");
    }

    function test_with_no_requirement_left_nobody_passes() public {
        know(0);
        vm.prank(owner);
        validator.removeCredentialRequirement(KYC);
        refuse(1e6, bytes32(0), address(validator), "account identity validation failed");
    }

    function test_an_inverted_requirement_refuses_holders_and_strangers() public {
        know(0);
        bytes32 flag = keccak256("sanctions.hit");
        vm.startPrank(owner);
        validator.addCredentialSource(
            ICredentialRequirements.CredentialSourceInput(flag, address(identities), address(credentials), address(0))
        );
        validator.addCredentialRequirement(ICredentialRequirements.CredentialRequirementInput(flag, one(flag), 1, true));
        vm.stopPrank();
        requireTrue(validator.validate(trader, ""), "not flagged");
        requireTrue(!validator.validate(stranger, ""), "no identity");
        vm.prank(issuer);
        credentials.registerCredential(CCID, flag, 0, "", "");
        requireTrue(!validator.validate(trader, ""), "flagged");
    }

    function deployPolicies() private {
        ICredentialRequirements.CredentialSourceInput[] memory sources =
            new ICredentialRequirements.CredentialSourceInput[](1);
        sources[0] =
            ICredentialRequirements.CredentialSourceInput(KYC, address(identities), address(credentials), address(0));
        ICredentialRequirements.CredentialRequirementInput[] memory requirements =
            new ICredentialRequirements.CredentialRequirementInput[](1);
        requirements[0] = ICredentialRequirements.CredentialRequirementInput(KYC, one(KYC), 1, false);
        pause = new PausePolicy(address(engine), guardian, false);
        senders = new AuthorizedSenderPolicy(address(engine), owner, one(relay));
        issuers = new AuthorizedSenderPolicy(address(engine), owner, one(issuer));
        validator = new CredentialValidatorPolicy(address(engine), owner, sources, requirements);
        volume = new VolumePolicy(address(engine), owner, 1, MAX);
        approved = new ApprovedModelPolicy(address(engine), owner, models);
    }

    function addToGate(IPolicy policy, string memory parameter) private {
        bytes32[] memory names = bytes(parameter).length == 0 ? new bytes32[](0) : one(keccak256(bytes(parameter)));
        engine.addPolicy(address(gate), IOrderGate.submitOrder.selector, address(policy), names);
    }

    function protect(address target, bytes4 selector) private {
        engine.addPolicy(target, selector, address(issuers), new bytes32[](0));
    }

    function know(uint40 expiresAt) private {
        vm.startPrank(issuer);
        identities.registerIdentity(CCID, trader, "");
        credentials.registerCredential(CCID, KYC, expiresAt, "", "");
        vm.stopPrank();
    }

    function accept(uint256 notional, bytes32 model) private {
        vm.prank(relay);
        gate.submitOrder(trader, TICKER, notional, model);
    }

    function refuse(uint256 notional, bytes32 model, address policy, string memory reason) private {
        expectRejection(relay, notional, model, policy, reason);
        vm.prank(relay);
        gate.submitOrder(trader, TICKER, notional, model);
    }

    function expectRejection(address sender, uint256 notional, bytes32 model, address policy, string memory reason)
        private
    {
        vm.expectRevert(
            abi.encodeWithSelector(
                IPolicyEngine.PolicyRunRejected.selector, policy, reason, payloadOf(sender, notional, model)
            )
        );
    }

    function passesCheck(address sender, uint256 notional) private returns (bool) {
        IPolicyEngine.Payload memory payload = payloadOf(sender, notional, bytes32(0));
        vm.prank(address(gate));
        try engine.check(payload) {
            return true;
        } catch {
            return false;
        }
    }

    function refusalOf(uint256 notional, bytes32 model, bytes memory context) private view returns (bytes memory) {
        IOrderGate.OrderCheck[] memory orders = new IOrderGate.OrderCheck[](1);
        orders[0] = IOrderGate.OrderCheck(trader, TICKER, notional, model, context);
        return gate.checkOrders(relay, orders)[0];
    }

    function payloadOf(address sender, uint256 notional, bytes32 model)
        private
        view
        returns (IPolicyEngine.Payload memory)
    {
        bytes memory data = abi.encode(trader, TICKER, notional, model);
        return IPolicyEngine.Payload(IOrderGate.submitOrder.selector, sender, data, "");
    }

    function orderCall(uint256 notional, bytes32 model) private view returns (bytes memory) {
        return abi.encodeCall(IOrderGate.submitOrder, (trader, TICKER, notional, model));
    }
}
