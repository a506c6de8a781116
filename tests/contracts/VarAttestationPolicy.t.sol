// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {StewardedPolicy} from "../../contracts/compliance/policies/StewardedPolicy.sol";
import {VarAttestationPolicy} from "../../contracts/compliance/policies/VarAttestationPolicy.sol";
import {IAuditAnchor} from "../../contracts/interfaces/IAuditAnchor.sol";
import {IPolicyEngine} from "../../contracts/interfaces/IPolicyEngine.sol";
import {ISlidingVolume} from "../../contracts/interfaces/ISlidingVolume.sol";
import {IVarAttestor} from "../../contracts/interfaces/IVarAttestor.sol";
import {VarWorld} from "./VarAttestor.t.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @notice An account's first volume, at will
contract FirstVolumes {
    mapping(address account => uint48 time) public firstVolumeAt;

    function set(address account, uint48 time) external {
        firstVolumeAt[account] = time;
    }
}

/// @notice With the real attestor, and proofs that its verifier accepts
contract VarAttestationPolicyTest is VarWorld {
    uint64 private constant MAX_AGE = 2 days;
    uint256 private constant END = (uint256(EPOCH) + 1) * 1 days;
    string private constant NONE = "account's risk is not attested";
    string private constant STALE = "account's risk attestation is not fresh";

    VarAttestationPolicy private risk;
    FirstVolumes private volumes;

    function setUp() public override {
        super.setUp();
        volumes = new FirstVolumes();
        risk = newPolicy(attestor);
        vm.warp(END - 1);
    }

    function test_an_account_that_has_not_traded_needs_none() public {
        requireContinues();
        vm.warp(END + 999 days);
        requireContinues();
    }

    function test_a_new_account_has_as_long_for_its_first_as_an_attestation_lasts() public {
        volumes.set(trader, uint48(END));
        vm.warp(END + MAX_AGE);
        requireContinues();
        vm.warp(END + MAX_AGE + 1);
        requireRefuses(NONE);
    }

    function test_an_attestation_is_fresh_for_its_time_after_the_end_of_its_epoch() public {
        volumes.set(trader, 1);
        requireRefuses(NONE);
        attest(claimAt(EPOCH));
        requireContinues();
        vm.warp(END + MAX_AGE);
        requireContinues();
        vm.warp(END + MAX_AGE + 1);
        requireRefuses(STALE);
        attest(claimAt(EPOCH + 2));
        requireContinues();
        requireEqual(EPOCH + 3, attestor.nextEpochOf(trader, POLICY_ID));
    }

    function test_an_epoch_that_has_not_begun_is_not_fresh() public {
        volumes.set(trader, 1);
        attest(claimAt(EPOCH + 2));
        vm.warp(END + 1 days - 1);
        requireRefuses(STALE);
        vm.warp(END + 1 days);
        requireContinues();
    }

    function test_an_attestation_of_another_account_or_under_another_policy_does_not_count() public {
        volumes.set(trader, 1);
        volumes.set(stranger, 1);
        attest(claimAt(EPOCH));
        requireContinues();
        vm.expectRevert(abi.encodeWithSelector(IPolicyEngine.PolicyRejected.selector, NONE));
        ask(risk, stranger);
        VarAttestationPolicy other = new VarAttestationPolicy(
            address(this), owner, attestor, keccak256("another"), ISlidingVolume(address(volumes)), MAX_AGE
        );
        vm.expectRevert(abi.encodeWithSelector(IPolicyEngine.PolicyRejected.selector, NONE));
        ask(other, trader);
    }

    function test_whoever_may_attest_for_any_log_is_believed_about_every_account() public {
        volumes.set(trader, 1);
        IVarAttestor.Claim memory claim = claimAt(EPOCH);
        IAuditAnchor.Head memory none;
        vm.startPrank(owner);
        claim.logId = audit.registerLog("another.example/log", keccak256("another key"), one(owner));
        audit.anchor(claim.logId, none, IAuditAnchor.Head(1, keccak256("root"), keccak256("heads")), new bytes32[](0));
        vm.stopPrank();
        uint256[8] memory proof = proofOf(statementOf(claim));
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IVarAttestor.NotAttester.selector, claim.logId, stranger));
        attestor.attest(claim, prices, matrix, proof);
        requireRefuses(NONE);
        vm.prank(owner);
        attestor.setAttester(claim.logId, stranger, true);
        vm.prank(stranger);
        attestor.attest(claim, prices, matrix, proof);
        requireContinues();
    }

    function test_a_policy_of_epoch_zero_counts_as_attested() public {
        requireEqual(0, attestor.nextEpochOf(trader, POLICY_ID));
        vm.prank(owner);
        oracle.publish(universeId, 0, prices, matrix);
        attest(claimAt(0));
        requireEqual(1, attestor.nextEpochOf(trader, POLICY_ID));
        volumes.set(trader, 1);
        vm.warp(1 days + MAX_AGE);
        requireContinues();
        vm.warp(1 days + MAX_AGE + 1);
        requireRefuses(STALE);
    }

    function testFuzz_only_owner_and_steward_set_the_age(address caller) public {
        vm.assume(caller != owner && caller != guardian);
        vm.prank(owner);
        risk.setSteward(guardian);
        vm.startPrank(caller);
        vm.expectRevert(abi.encodeWithSelector(StewardedPolicy.NotOwnerOrSteward.selector, caller));
        risk.setMaxAge(1);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, caller));
        risk.setSteward(caller);
        vm.stopPrank();
        vm.prank(guardian);
        risk.setMaxAge(5);
        requireEqual(5, risk.getMaxAge());
    }

    function test_senseless_ages_and_contracts_that_cannot_answer_are_refused() public {
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(VarAttestationPolicy.InvalidAge.selector, 0));
        risk.setMaxAge(0);
        vm.expectRevert(abi.encodeWithSelector(VarAttestationPolicy.InvalidAge.selector, uint256(1) << 64));
        risk.setMaxAge(uint256(1) << 64);
        risk.setMaxAge(type(uint64).max);
        vm.stopPrank();
        volumes.set(trader, 1);
        requireContinues();
        try this.newPolicy(IVarAttestor(address(0))) {
            revert NotTrue("zero refused");
        } catch {}
        try this.newPolicy(IVarAttestor(address(volumes))) {
            revert NotTrue("another contract refused");
        } catch {}
    }

    function newPolicy(IVarAttestor of_) public returns (VarAttestationPolicy) {
        return new VarAttestationPolicy(address(this), owner, of_, POLICY_ID, ISlidingVolume(address(volumes)), MAX_AGE);
    }

    function requireContinues() private view {
        requireTrue(ask(risk, trader) == IPolicyEngine.PolicyResult.Continue, "continues");
    }

    function requireRefuses(string memory reason) private {
        vm.expectRevert(abi.encodeWithSelector(IPolicyEngine.PolicyRejected.selector, reason));
        ask(risk, trader);
    }

    function ask(VarAttestationPolicy policy_, address account) private view returns (IPolicyEngine.PolicyResult) {
        bytes[] memory parameters = new bytes[](1);
        parameters[0] = abi.encode(account);
        return policy_.run(relay, address(this), 0, parameters, "");
    }
}
