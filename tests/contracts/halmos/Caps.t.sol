// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ProgressiveCapPolicy} from "../../../contracts/compliance/policies/ProgressiveCapPolicy.sol";
import {IProgressiveCaps} from "../../../contracts/interfaces/IProgressiveCaps.sol";
import {Base} from "../Base.t.sol";

/// @notice For every account and time below 2^24 seconds, with the tiers of the deployment: what `make prove` shows. Ages
/// are differences of UTC days, so that a whole number of days later the same holds.
contract CapsProof is Base {
    ProgressiveCapPolicy private caps;

    function setUp() public {
        IProgressiveCaps.Tier[] memory list = new IProgressiveCaps.Tier[](4);
        list[0] = IProgressiveCaps.Tier(0, 100e6, false);
        list[1] = IProgressiveCaps.Tier(3, 500e6, false);
        list[2] = IProgressiveCaps.Tier(7, 5_000e6, false);
        list[3] = IProgressiveCaps.Tier(14, 50_000e6, true);
        caps = new ProgressiveCapPolicy(address(this), address(this), address(this), address(this), list);
    }

    /// @notice An account's cap never falls as it ages, reviewed or not.
    function check_caps_are_monotone_in_age(
        address account,
        bool isReviewed,
        uint24 openedAt,
        uint24 first,
        uint24 later
    ) public {
        vm.assume(account != address(0) && openedAt > 0 && openedAt <= first && first <= later);
        vm.warp(openedAt);
        caps.open(account);
        if (isReviewed) caps.recordReview(account, keccak256("review"));
        vm.warp(first);
        uint256 before = caps.capOf(account);
        vm.warp(later);
        assert(caps.capOf(account) >= before);
    }

    /// @notice Without a review the last cap is reached at no age, and a review lowers none.
    function check_the_last_cap_takes_a_review(address account, uint24 openedAt, uint24 time) public {
        vm.assume(account != address(0) && openedAt > 0 && openedAt <= time);
        vm.warp(openedAt);
        caps.open(account);
        vm.warp(time);
        uint256 before = caps.capOf(account);
        assert(before <= 5_000e6);
        caps.recordReview(account, keccak256("review"));
        assert(caps.capOf(account) >= before);
    }
}
