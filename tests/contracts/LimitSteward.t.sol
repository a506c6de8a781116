// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LimitSteward} from "../../contracts/compliance/LimitSteward.sol";
import {SlidingVolumePolicy} from "../../contracts/compliance/policies/SlidingVolumePolicy.sol";
import {StewardedPolicy} from "../../contracts/compliance/policies/StewardedPolicy.sol";
import {VolumePolicy} from "../../contracts/compliance/policies/VolumePolicy.sol";
import {ILimitSteward} from "../../contracts/interfaces/ILimitSteward.sol";
import {Base} from "./Base.t.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @notice A limit that misbehaves as told
contract OddLimit {
    uint256 public limit = 1_000;
    uint256 public mode;

    error Unwilling();

    function setMode(uint256 value) external {
        mode = value;
    }

    function setLimit(uint256 value) external {
        if (mode == 1) revert Unwilling();
        if (mode == 2) value = value * 2;
        if (mode == 3) LimitSteward(msg.sender).change(address(this), OddLimit.setLimit.selector, value);
        limit = value;
    }

    function getLimit() external view returns (uint256) {
        if (mode == 4) revert Unwilling();
        return limit;
    }

    function two() external pure returns (uint256, uint256) {
        return (1, 2);
    }
}

contract LimitStewardTest is Base {
    uint256 private constant START = 1_451_606_400;
    uint256 private constant LIMIT = 1_000e6;
    uint16 private constant BPS = 1_000;
    uint32 private constant DELAY = 1 days;
    bytes4 private constant GET = SlidingVolumePolicy.getLimit.selector;
    bytes4 private constant SET = SlidingVolumePolicy.setLimit.selector;

    address private immutable operator = roleOf("operator");

    LimitSteward private steward;
    SlidingVolumePolicy private sliding;

    function setUp() public {
        vm.warp(START);
        steward = new LimitSteward(owner, operator);
        sliding = new SlidingVolumePolicy(address(this), owner, LIMIT, 1 days);
        vm.startPrank(owner);
        sliding.setSteward(address(steward));
        steward.allow(address(sliding), GET, SET, BPS, DELAY);
        vm.stopPrank();
        vm.warp(START + DELAY);
    }

    function test_a_limit_moves_by_its_share_after_its_delay() public {
        change(LIMIT * 11 / 10);
        requireEqual(LIMIT * 11 / 10, sliding.getLimit());
        vm.warp(START + 2 * DELAY);
        change(LIMIT);
        requireEqual(LIMIT, sliding.getLimit());
    }

    function testFuzz_no_value_beyond_the_share_is_taken(uint256 value) public {
        uint256 most = LIMIT / 10;
        bool isWithin = value >= LIMIT - most && value <= LIMIT + most;
        if (!isWithin) expectTooLarge(LIMIT, value, most);
        change(value);
        requireEqual(isWithin ? value : LIMIT, sliding.getLimit());
    }

    function testFuzz_small_steps_do_not_beat_the_delay(uint256 seed) public {
        uint256 changes = 0;
        uint256 lastAt = START;
        uint256 start = block.timestamp;
        for (uint256 i = 0; i < 24; i++) {
            seed = uint256(keccak256(abi.encode(seed)));
            vm.warp(block.timestamp + seed % DELAY);
            uint256 present = sliding.getLimit();
            uint256 value = present + present / 10;
            vm.prank(operator);
            (bool changed,) = address(steward)
                .call(
                    abi.encodeCall(ILimitSteward.change, (address(sliding), SET, seed % 2 == 0 ? value : present + 1))
                );
            requireTrue(changed == (block.timestamp >= lastAt + DELAY), "once a delay");
            if (!changed) continue;
            lastAt = block.timestamp;
            changes++;
        }
        requireTrue(changes <= (block.timestamp - start) / DELAY + 1, "as often as the delay allows");
    }

    function test_the_delay_counts_from_the_rule_and_from_each_change() public {
        vm.prank(owner);
        steward.allow(address(sliding), GET, SET, BPS, DELAY);
        expectTooSoon(START + 2 * DELAY);
        change(LIMIT + 1);
        vm.warp(START + 2 * DELAY - 1);
        expectTooSoon(START + 2 * DELAY);
        change(LIMIT + 1);
        vm.warp(START + 2 * DELAY);
        change(LIMIT + 1);
        expectTooSoon(START + 3 * DELAY);
        change(LIMIT + 2);
    }

    function test_zero_and_overflow_are_too_large_a_change() public {
        expectTooLarge(LIMIT, 0, LIMIT / 10);
        change(0);
        expectTooLarge(LIMIT, type(uint256).max, LIMIT / 10);
        change(type(uint256).max);
        vm.prank(owner);
        sliding.setLimit(0);
        expectTooLarge(0, 1, 0);
        change(1);
    }

    function test_a_present_value_of_any_size_has_its_share() public {
        VolumePolicy volume = new VolumePolicy(address(this), owner, 0, type(uint256).max);
        vm.startPrank(owner);
        volume.setSteward(address(steward));
        steward.allow(address(volume), VolumePolicy.getMax.selector, VolumePolicy.setMax.selector, 9_999, 1);
        vm.stopPrank();
        vm.warp(START + DELAY + 1);
        vm.prank(operator);
        steward.change(address(volume), VolumePolicy.setMax.selector, type(uint256).max / 2);
        requireEqual(type(uint256).max / 2, volume.getMax());
    }

    function test_what_the_owner_did_not_allow_does_not_move() public {
        bytes4 window = SlidingVolumePolicy.setWindow.selector;
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(ILimitSteward.NotAllowed.selector, address(sliding), window));
        steward.change(address(sliding), window, 1);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(ILimitSteward.NotAllowed.selector, stranger, SET));
        steward.change(stranger, SET, 1);
    }

    function test_the_owner_stops_it_in_three_ways() public {
        vm.prank(owner);
        steward.disallow(address(sliding), SET);
        vm.expectRevert(abi.encodeWithSelector(ILimitSteward.NotAllowed.selector, address(sliding), SET));
        change(LIMIT);
        requireEqual(0, steward.ruleOf(address(sliding), SET).changedAt);
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(ILimitSteward.NotAllowed.selector, address(sliding), SET));
        steward.disallow(address(sliding), SET);
        steward.allow(address(sliding), GET, SET, BPS, DELAY);
        sliding.setSteward(address(0));
        vm.stopPrank();
        vm.warp(START + 2 * DELAY);
        vm.expectRevert(
            abi.encodeWithSelector(
                ILimitSteward.CallFailed.selector,
                address(sliding),
                SET,
                abi.encodeWithSelector(StewardedPolicy.NotOwnerOrSteward.selector, address(steward))
            )
        );
        change(LIMIT);
        vm.prank(owner);
        steward.setSteward(address(0));
        vm.expectRevert(abi.encodeWithSelector(ILimitSteward.NotSteward.selector, operator));
        change(LIMIT);
    }

    function test_rules_without_a_bound_are_refused() public {
        requireInvalid(address(0), BPS, DELAY);
        requireInvalid(stranger, BPS, DELAY);
        requireInvalid(address(sliding), 0, DELAY);
        requireInvalid(address(sliding), 10_000, DELAY);
        requireInvalid(address(sliding), BPS, 0);
        vm.expectPartialRevert(ILimitSteward.CallFailed.selector);
        vm.prank(owner);
        steward.allow(address(sliding), SET, SET, BPS, DELAY);
        OddLimit odd = new OddLimit();
        vm.expectPartialRevert(ILimitSteward.CallFailed.selector);
        vm.prank(owner);
        steward.allow(address(odd), OddLimit.two.selector, SET, BPS, DELAY);
    }

    function test_a_limit_that_does_not_do_as_it_is_told_changes_nothing() public {
        OddLimit odd = new OddLimit();
        vm.prank(owner);
        steward.allow(address(odd), GET, SET, BPS, DELAY);
        vm.warp(START + 2 * DELAY);
        odd.setMode(1);
        requireFails(odd, abi.encodeWithSelector(ILimitSteward.CallFailed.selector, odd, SET, unwilling()));
        odd.setMode(2);
        requireFails(odd, abi.encodeWithSelector(ILimitSteward.NotTaken.selector, odd, 1_001, 2_002));
        odd.setMode(4);
        requireFails(odd, abi.encodeWithSelector(ILimitSteward.CallFailed.selector, odd, GET, unwilling()));
        odd.setMode(3);
        requireFails(
            odd,
            abi.encodeWithSelector(
                ILimitSteward.CallFailed.selector,
                odd,
                SET,
                abi.encodeWithSelector(ILimitSteward.NotSteward.selector, odd)
            )
        );
        vm.prank(owner);
        steward.setSteward(address(odd));
        vm.prank(address(odd));
        vm.expectPartialRevert(ILimitSteward.CallFailed.selector);
        steward.change(address(odd), SET, 1_001);
        requireEqual(1_000, odd.limit());
    }

    function testFuzz_every_role_keeps_to_its_own(address caller) public {
        vm.assume(caller != owner && caller != operator);
        address[2] memory others = [caller, owner];
        for (uint256 i = 0; i < others.length; i++) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(ILimitSteward.NotSteward.selector, others[i]));
            steward.change(address(sliding), SET, LIMIT);
        }
        others[1] = operator;
        for (uint256 i = 0; i < others.length; i++) {
            bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, others[i]);
            vm.startPrank(others[i]);
            vm.expectRevert(refusal);
            steward.allow(address(sliding), GET, SET, 9_999, 1);
            vm.expectRevert(refusal);
            steward.disallow(address(sliding), SET);
            vm.expectRevert(refusal);
            steward.setSteward(others[i]);
            vm.expectRevert(refusal);
            steward.transferOwnership(others[i]);
            vm.stopPrank();
        }
    }

    function change(uint256 value) private {
        vm.prank(operator);
        steward.change(address(sliding), SET, value);
    }

    function requireFails(OddLimit odd, bytes memory refusal) private {
        vm.prank(operator);
        vm.expectRevert(refusal);
        steward.change(address(odd), SET, 1_001);
        requireEqual(START + DELAY, steward.ruleOf(address(odd), SET).changedAt);
    }

    function requireInvalid(address target, uint16 bps, uint32 delay) private {
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(ILimitSteward.InvalidRule.selector, target, bps, delay));
        steward.allow(target, GET, SET, bps, delay);
    }

    function expectTooSoon(uint256 notBefore) private {
        vm.expectRevert(abi.encodeWithSelector(ILimitSteward.TooSoon.selector, address(sliding), SET, notBefore));
    }

    function expectTooLarge(uint256 present, uint256 value, uint256 most) private {
        vm.expectRevert(abi.encodeWithSelector(ILimitSteward.ChangeTooLarge.selector, present, value, most));
    }

    function unwilling() private pure returns (bytes memory) {
        return abi.encodeWithSelector(OddLimit.Unwilling.selector);
    }
}
