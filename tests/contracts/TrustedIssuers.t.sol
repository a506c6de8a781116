// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CredentialRegistry} from "../../contracts/compliance/CredentialRegistry.sol";
import {PolicyEngine} from "../../contracts/compliance/PolicyEngine.sol";
import {TrustedIssuerRegistry} from "../../contracts/compliance/TrustedIssuerRegistry.sol";
import {AuthorizedSenderPolicy} from "../../contracts/compliance/policies/AuthorizedSenderPolicy.sol";
import {TrustedIssuerPolicy} from "../../contracts/compliance/policies/TrustedIssuerPolicy.sol";
import {IPolicyEngine} from "../../contracts/interfaces/IPolicyEngine.sol";
import {ITrustedIssuerRegistry} from "../../contracts/interfaces/ITrustedIssuerRegistry.sol";
import {Base} from "./Base.t.sol";

/// @notice Who is trusted to issue, by the engine's word only
contract TrustedIssuersTest is Base {
    string private constant NAME = "did:web:issuer.example";

    PolicyEngine private engine;
    TrustedIssuerRegistry private registry;

    function setUp() public {
        engine = new PolicyEngine(address(this));
        registry = new TrustedIssuerRegistry(owner, address(engine));
        AuthorizedSenderPolicy senders = new AuthorizedSenderPolicy(address(engine), owner, one(guardian));
        bytes4[2] memory selectors =
            [ITrustedIssuerRegistry.addTrustedIssuer.selector, ITrustedIssuerRegistry.removeTrustedIssuer.selector];
        for (uint256 i = 0; i < 2; i++) {
            engine.addPolicy(address(registry), selectors[i], address(senders), new bytes32[](0));
        }
        engine.setTargetDefaultPolicyAllow(address(registry), true);
    }

    function testFuzz_whom_the_engine_lets_in_is_trusted_until_taken_off(string memory name, string memory other)
        public
    {
        vm.assume(keccak256(bytes(name)) != keccak256(bytes(other)));
        vm.startPrank(guardian);
        registry.addTrustedIssuer(name, "");
        requireTrue(registry.isTrustedIssuer(name), "trusted");
        requireTrue(!registry.isTrustedIssuer(other), "not the other");
        requireEqual(keccak256(bytes(name)), registry.getTrustedIssuers()[0]);
        registry.removeTrustedIssuer(name, "");
        requireTrue(!registry.isTrustedIssuer(name), "not any more");
        requireEqual(0, registry.getTrustedIssuers().length);
    }

    function test_nobody_else_writes() public {
        vm.startPrank(stranger);
        vm.expectPartialRevert(IPolicyEngine.PolicyRunRejected.selector);
        registry.addTrustedIssuer(NAME, "");
        vm.expectPartialRevert(IPolicyEngine.PolicyRunRejected.selector);
        registry.removeTrustedIssuer(NAME, "");
        vm.stopPrank();
        vm.prank(owner);
        vm.expectPartialRevert(IPolicyEngine.PolicyRunRejected.selector);
        registry.addTrustedIssuer(NAME, "");
    }

    function test_trust_that_changes_nothing_is_refused() public {
        bytes32 hash = keccak256(bytes(NAME));
        vm.startPrank(guardian);
        vm.expectRevert(abi.encodeWithSelector(TrustedIssuerRegistry.IssuerNotTrusted.selector, hash));
        registry.removeTrustedIssuer(NAME, "");
        registry.addTrustedIssuer(NAME, "");
        vm.expectRevert(abi.encodeWithSelector(TrustedIssuerRegistry.IssuerTrusted.selector, hash));
        registry.addTrustedIssuer(NAME, "");
    }

    function test_credentials_are_taken_from_trusted_issuers_only_and_not_once_trust_is_gone() public {
        CredentialRegistry credentials = new CredentialRegistry(owner, address(engine));
        TrustedIssuerPolicy policy = new TrustedIssuerPolicy(address(engine), owner, registry);
        bytes4 register = CredentialRegistry.registerCredential.selector;
        engine.addPolicy(address(credentials), register, address(policy), new bytes32[](0));
        engine.setTargetDefaultPolicyAllow(address(credentials), true);
        string memory name = policy.issuerIdOf(issuer);
        refuseIssuing(credentials, policy, issuer);
        vm.prank(guardian);
        registry.addTrustedIssuer(name, "");
        vm.prank(issuer);
        credentials.registerCredential("a person", "common.kyc", 0, "", "");
        requireTrue(credentials.validate("a person", "common.kyc", ""), "issued");
        refuseIssuing(credentials, policy, stranger);
        vm.prank(guardian);
        registry.removeTrustedIssuer(name, "");
        refuseIssuing(credentials, policy, issuer);
    }

    function test_an_issuers_name_is_its_did_on_this_chain() public {
        TrustedIssuerPolicy policy = new TrustedIssuerPolicy(address(engine), owner, registry);
        address account = 0xab16a96D359eC26a11e2C2b3d8f8B8942d5Bfcdb;
        bytes32 expected = keccak256("did:pkh:eip155:31337:0xab16a96D359eC26a11e2C2b3d8f8B8942d5Bfcdb");
        requireEqual(expected, keccak256(bytes(policy.issuerIdOf(account))));
        try this.policyOf(ITrustedIssuerRegistry(address(engine))) {
            revert NotTrue("another contract refused");
        } catch {}
    }

    function policyOf(ITrustedIssuerRegistry of_) external returns (TrustedIssuerPolicy) {
        return new TrustedIssuerPolicy(address(engine), owner, of_);
    }

    function refuseIssuing(CredentialRegistry credentials, TrustedIssuerPolicy policy, address sender) private {
        bytes memory data = abi.encode(bytes32("b"), bytes32("common.kyc"), uint40(0), bytes(""), bytes(""));
        IPolicyEngine.Payload memory payload =
            IPolicyEngine.Payload(CredentialRegistry.registerCredential.selector, sender, data, "");
        vm.prank(sender);
        vm.expectRevert(
            abi.encodeWithSelector(IPolicyEngine.PolicyRunRejected.selector, policy, "issuer is not trusted", payload)
        );
        credentials.registerCredential("b", "common.kyc", 0, "", "");
    }
}
