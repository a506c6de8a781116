// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ProgressiveCapPolicy} from "../../contracts/compliance/policies/ProgressiveCapPolicy.sol";
import {IPolicy} from "../../contracts/interfaces/IPolicy.sol";
import {IProgressiveCaps} from "../../contracts/interfaces/IProgressiveCaps.sol";
import {GateWorld} from "./GateWorld.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

contract ProgressiveCapTest is GateWorld {
    bytes32 private constant REVIEW = keccak256("a review");

    address private immutable operator = roleOf("operator");

    ProgressiveCapPolicy private caps;

    function setUp() public override {
        super.setUp();
        vm.warp(START + 20 hours);
        caps = new ProgressiveCapPolicy(address(engine), owner, issuer, operator, tiers());
        addPolicy(gate, caps);
    }

    function test_an_account_that_was_not_opened_may_not_trade() public {
        requireEqual(0, caps.capOf(trader));
        expectRejected(caps, "account is not opened", trader, 0);
        expectRejected(caps, "account is not opened", trader, 1);
    }

    function test_a_cap_is_inside() public {
        open(trader);
        submit(trader, 100e6);
        expectRejected(caps, "order is over the account's cap", trader, 100e6 + 1);
    }

    function test_caps_step_up_with_utc_days_and_the_last_only_after_a_review() public {
        open(trader);
        requireCapAt(3 days - 1, 100e6);
        requireCapAt(3 days, 500e6);
        requireCapAt(7 days - 1, 500e6);
        requireCapAt(7 days, 5_000e6);
        requireCapAt(14 days, 5_000e6);
        requireCapAt(400 days, 5_000e6);
        vm.prank(operator);
        caps.recordReview(trader, REVIEW);
        requireCapAt(400 days, 50_000e6);
        requireCapAt(14 days, 50_000e6);
        requireCapAt(14 days - 1, 5_000e6);
    }

    function testFuzz_caps_never_fall_as_an_account_ages(uint256 first, uint256 later, bool isReviewed) public {
        open(trader);
        if (isReviewed) {
            vm.prank(operator);
            caps.recordReview(trader, REVIEW);
        }
        first = START + between(first, 1 days, 100 days);
        vm.warp(first);
        uint256 cap = caps.capOf(trader);
        vm.warp(first + later % 100 days);
        requireTrue(caps.capOf(trader) >= cap, "a cap fell");
    }

    function testFuzz_an_order_passes_up_to_the_cap_and_no_further(uint256 age, uint256 amount, bool isReviewed)
        public
    {
        open(trader);
        if (isReviewed) {
            vm.prank(operator);
            caps.recordReview(trader, REVIEW);
        }
        vm.warp(START + between(age, 1 days, 30 days));
        amount = between(amount, 0, 60_000e6);
        requireTrue(passes(trader, amount) == (amount <= caps.capOf(trader)), "as the view says");
    }

    function test_an_account_is_opened_now_and_once() public {
        open(trader);
        requireEqual(block.timestamp, caps.openedAt(trader));
        vm.warp(START + 9 days);
        vm.expectRevert(abi.encodeWithSelector(IProgressiveCaps.AlreadyOpened.selector, trader, START + 20 hours));
        open(trader);
        requireEqual(5_000e6, caps.capOf(trader));
        vm.expectRevert(abi.encodeWithSelector(IProgressiveCaps.ZeroValue.selector));
        open(address(0));
    }

    function test_a_review_is_of_an_opened_account_and_can_be_withdrawn() public {
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IProgressiveCaps.NotOpened.selector, trader));
        caps.recordReview(trader, REVIEW);
        open(trader);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IProgressiveCaps.ZeroValue.selector));
        caps.recordReview(trader, bytes32(0));
        address[2] memory withdrawers = [operator, owner];
        for (uint256 i = 0; i < withdrawers.length; i++) {
            vm.prank(operator);
            caps.recordReview(trader, REVIEW);
            requireEqual(REVIEW, caps.reviewOf(trader));
            requireCapAt(14 days, 50_000e6);
            vm.prank(withdrawers[i]);
            caps.withdrawReview(trader);
            requireCapAt(14 days, 5_000e6);
        }
    }

    function testFuzz_every_role_keeps_to_its_own(address caller) public {
        vm.assume(caller != owner && caller != operator && caller != issuer);
        open(stranger);
        address[4] memory callers = [caller, issuer, operator, owner];
        for (uint256 i = 0; i < callers.length; i++) {
            address it = callers[i];
            vm.startPrank(it);
            if (it != issuer) {
                vm.expectRevert(abi.encodeWithSelector(IProgressiveCaps.NotRegistrar.selector, it));
                caps.open(trader);
            }
            if (it != operator) {
                vm.expectRevert(abi.encodeWithSelector(IProgressiveCaps.NotReviewer.selector, it));
                caps.recordReview(stranger, REVIEW);
            }
            if (it != operator && it != owner) {
                vm.expectRevert(abi.encodeWithSelector(IProgressiveCaps.NotReviewer.selector, it));
                caps.withdrawReview(stranger);
            }
            if (it != owner) requireSettersClosed(it);
            vm.stopPrank();
        }
    }

    function test_the_owner_names_registrar_and_reviewer_and_zero_stops_them() public {
        vm.startPrank(owner);
        caps.setRegistrar(stranger);
        caps.setReviewer(stranger);
        vm.stopPrank();
        vm.startPrank(stranger);
        caps.open(trader);
        caps.recordReview(trader, REVIEW);
        vm.stopPrank();
        vm.startPrank(owner);
        caps.setRegistrar(address(0));
        caps.setReviewer(address(0));
        vm.stopPrank();
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IProgressiveCaps.NotRegistrar.selector, stranger));
        caps.open(issuer);
    }

    function test_tiers_that_contradict_themselves_are_refused() public {
        IProgressiveCaps.Tier[] memory none = new IProgressiveCaps.Tier[](0);
        requireRefused(none, 0);
        requireRefused(new IProgressiveCaps.Tier[](9), 9);
        IProgressiveCaps.Tier[] memory list = tiers();
        list[2].fromDay = list[1].fromDay;
        requireRefused(list, 2);
        list = tiers();
        list[1].cap = list[0].cap;
        requireRefused(list, 1);
        list = tiers();
        list[1].reviewed = true;
        requireRefused(list, 2);
        list = tiers();
        list[3].cap = 1 << 128;
        requireRefused(list, 3);
    }

    function test_tiers_are_replaced_whole() public {
        open(trader);
        IProgressiveCaps.Tier[] memory list = new IProgressiveCaps.Tier[](1);
        list[0] = IProgressiveCaps.Tier(2, 7, false);
        vm.prank(owner);
        caps.setTiers(list);
        requireEqual(keccak256(abi.encode(list)), keccak256(abi.encode(caps.getTiers())));
        requireCapAt(1 days, 0);
        expectRejected(caps, "order is over the account's cap", trader, 1);
        requireCapAt(2 days, 7);
        requireCapAt(50 days, 7);
    }

    function test_another_number_of_parameters_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IPolicy.InvalidParameters.selector, "expected 2 parameters"));
        caps.run(relay, address(gate), SUBMIT, new bytes[](1), "");
    }

    function requireSettersClosed(address caller) private {
        bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, caller);
        vm.expectRevert(refusal);
        caps.setTiers(tiers());
        vm.expectRevert(refusal);
        caps.setRegistrar(caller);
        vm.expectRevert(refusal);
        caps.setReviewer(caller);
        vm.expectRevert(refusal);
        caps.transferOwnership(caller);
    }

    function requireRefused(IProgressiveCaps.Tier[] memory list, uint256 position) private {
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IProgressiveCaps.InvalidTiers.selector, position));
        caps.setTiers(list);
    }

    /// @dev Days count from the UTC day on which the account was opened, at whatever hour.
    function requireCapAt(uint256 sinceMidnight, uint256 cap) private {
        vm.warp(START + sinceMidnight);
        requireEqual(cap, caps.capOf(trader));
    }

    function open(address account) private {
        vm.prank(issuer);
        caps.open(account);
    }

    function tiers() private pure returns (IProgressiveCaps.Tier[] memory list) {
        list = new IProgressiveCaps.Tier[](4);
        list[0] = IProgressiveCaps.Tier(0, 100e6, false);
        list[1] = IProgressiveCaps.Tier(3, 500e6, false);
        list[2] = IProgressiveCaps.Tier(7, 5_000e6, false);
        list[3] = IProgressiveCaps.Tier(14, 50_000e6, true);
    }
}
