// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ModelRegistry} from "../../contracts/governance/ModelRegistry.sol";
import {RefiGovernor} from "../../contracts/governance/RefiGovernor.sol";
import {RefiTimelock} from "../../contracts/governance/RefiTimelock.sol";
import {RefiToken} from "../../contracts/governance/RefiToken.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {Base} from "./Base.t.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

contract GovernanceTest is Base {
    bytes32 private constant MODEL = keccak256("a model");
    string private constant WHY = "Promote a model";
    uint256 private constant SUPPLY = 1_000_000e18;

    RefiToken private token;
    RefiTimelock private timelock;
    RefiGovernor private governor;
    ModelRegistry private models;
    address private immutable voter = roleOf("voter");
    address private immutable minnow = roleOf("minnow");

    function setUp() public {
        vm.warp(1_451_606_400);
        token = new RefiToken(address(this), SUPPLY);
        timelock = new RefiTimelock(1 days, new address[](0), one(address(0)), address(this));
        governor = new RefiGovernor(token, timelock, 1_000e18, guardian);
        timelock.grantRole(timelock.PROPOSER_ROLE(), address(governor));
        timelock.grantRole(timelock.CANCELLER_ROLE(), address(governor));
        timelock.grantRole(timelock.CANCELLER_ROLE(), guardian);
        timelock.renounceRole(timelock.DEFAULT_ADMIN_ROLE(), address(this));
        models = new ModelRegistry(address(timelock), guardian, one(relay));
        give(voter, 50_000e18);
        give(minnow, 10_000e18);
        vm.warp(block.timestamp + 1);
        vm.prank(relay);
        models.propose(MODEL, "torch", keccak256("schema"), "report");
    }

    function test_a_vote_puts_a_model_into_production() public {
        uint256 id = propose();
        vm.warp(block.timestamp + 1 hours + 1);
        vm.prank(voter);
        governor.castVote(id, 1);
        vm.warp(block.timestamp + 3 days);
        queue();
        vm.warp(block.timestamp + 1 days);
        requireTrue(!models.isApproved(MODEL), "not before execution");
        execute();
        requireTrue(models.isApproved(MODEL), "in production");
        requireEqual(uint256(IModelRegistry.State.Production), uint256(models.stateOf(MODEL)));
    }

    function test_nothing_is_executed_before_the_timelock_is_over() public {
        uint256 id = propose();
        vm.warp(block.timestamp + 1 hours + 1);
        vm.prank(voter);
        governor.castVote(id, 1);
        vm.warp(block.timestamp + 3 days);
        queue();
        vm.warp(block.timestamp + 1 days - 1);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions();
        vm.expectPartialRevert(TimelockController.TimelockUnexpectedOperationState.selector);
        governor.execute(targets, values, calls, keccak256(bytes(WHY)));
    }

    function test_a_vote_without_quorum_is_defeated() public {
        uint256 id = propose();
        vm.warp(block.timestamp + 1 hours + 1);
        vm.prank(minnow);
        governor.castVote(id, 1);
        vm.warp(block.timestamp + 3 days + 1);
        requireEqual(uint256(IGovernor.ProposalState.Defeated), uint256(governor.state(id)));
    }

    function test_a_late_quorum_keeps_the_vote_open_for_a_day() public {
        uint256 id = propose();
        uint256 deadline = governor.proposalDeadline(id);
        vm.warp(deadline - 1);
        vm.prank(voter);
        governor.castVote(id, 1);
        requireEqual(deadline - 1 + 1 days, governor.proposalDeadline(id));
    }

    function test_the_guardian_cancels_and_a_stranger_does_not() public {
        uint256 id = propose();
        vm.warp(block.timestamp + 1 hours + 1);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions();
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorUnableToCancel.selector, id, stranger));
        governor.cancel(targets, values, calls, keccak256(bytes(WHY)));
        vm.prank(guardian);
        governor.cancel(targets, values, calls, keccak256(bytes(WHY)));
        requireEqual(uint256(IGovernor.ProposalState.Canceled), uint256(governor.state(id)));
    }

    function test_who_holds_too_little_does_not_propose() public {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions();
        vm.prank(stranger);
        vm.expectRevert(
            abi.encodeWithSelector(IGovernor.GovernorInsufficientProposerVotes.selector, stranger, 0, 1_000e18)
        );
        governor.propose(targets, values, calls, WHY);
    }

    function test_only_the_timelock_moves_a_model() public {
        vm.startPrank(relay);
        bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, relay);
        vm.expectRevert(refusal);
        models.approve(MODEL);
        vm.expectRevert(refusal);
        models.promote(MODEL);
        vm.expectRevert(refusal);
        models.retire(MODEL);
        vm.expectRevert(refusal);
        models.setProposer(stranger, true);
    }

    function test_only_proposers_propose_and_only_once() public {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotProposer.selector, stranger));
        models.propose(keccak256("other"), "", bytes32(0), "");
        vm.startPrank(relay);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ZeroModelHash.selector));
        models.propose(bytes32(0), "", bytes32(0), "");
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.WrongState.selector, MODEL, IModelRegistry.State.Proposed)
        );
        models.propose(MODEL, "other", bytes32(0), "other");
        requireEqual(keccak256("torch"), keccak256(bytes(models.modelOf(MODEL).torchScriptCid)));
    }

    /// @dev Walks any path of steps and holds the registry against a table of the allowed ones.
    function testFuzz_a_model_takes_only_the_steps_of_its_life(uint8[12] calldata steps) public {
        uint256 state = uint256(IModelRegistry.State.Proposed);
        for (uint256 i = 0; i < steps.length; i++) {
            uint256 next = nextOf(state, steps[i] % 4);
            requireTrue(take(steps[i] % 4) == (next != 0), "a step is taken exactly when it is allowed");
            if (next != 0) state = next;
            requireEqual(state, uint256(models.stateOf(MODEL)));
            requireTrue(models.isApproved(MODEL) == (state == 3), "approved only in production");
        }
    }

    function test_a_stranger_does_not_revoke() public {
        vm.prank(address(timelock));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotGuardian.selector, address(timelock)));
        models.revoke(MODEL);
    }

    function nextOf(uint256 state, uint256 step) private pure returns (uint256) {
        if (step == 0) return state == 1 ? 2 : 0;
        if (step == 1) return state == 2 || state == 4 ? 3 : 0;
        if (step == 2) return state == 3 ? 4 : 0;
        return state == 5 ? 0 : 5;
    }

    function take(uint256 step) private returns (bool done) {
        bytes4 selector = step == 0
            ? IModelRegistry.approve.selector
            : step == 1
                ? IModelRegistry.promote.selector
                : step == 2 ? IModelRegistry.retire.selector : IModelRegistry.revoke.selector;
        vm.prank(step == 3 ? guardian : address(timelock));
        (done,) = address(models).call(abi.encodeWithSelector(selector, MODEL));
    }

    function give(address account, uint256 amount) private {
        requireTrue(token.transfer(account, amount), "transferred");
        vm.prank(account);
        token.delegate(account);
    }

    function actions() private view returns (address[] memory, uint256[] memory, bytes[] memory) {
        address[] memory targets = new address[](2);
        bytes[] memory calls = new bytes[](2);
        targets[0] = targets[1] = address(models);
        calls[0] = abi.encodeCall(IModelRegistry.approve, (MODEL));
        calls[1] = abi.encodeCall(IModelRegistry.promote, (MODEL));
        return (targets, new uint256[](2), calls);
    }

    function propose() private returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions();
        vm.prank(voter);
        return governor.propose(targets, values, calls, WHY);
    }

    function queue() private {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions();
        governor.queue(targets, values, calls, keccak256(bytes(WHY)));
    }

    function execute() private {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions();
        governor.execute(targets, values, calls, keccak256(bytes(WHY)));
    }
}
