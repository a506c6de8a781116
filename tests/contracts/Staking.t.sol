// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {RefiToken} from "../../contracts/governance/RefiToken.sol";
import {StakeVault} from "../../contracts/governance/StakeVault.sol";
import {Staking} from "../../contracts/governance/Staking.sol";
import {IStaking} from "../../contracts/interfaces/IStaking.sol";
import {Base} from "./Base.t.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

contract StakingTest is Base {
    uint256 private constant SUPPLY = 1_000_000e18;
    uint256 private constant SHARE = 50_000e18;
    uint48 private constant START = 1_451_606_400;

    RefiToken private token;
    Staking private staking;
    address private immutable other = roleOf("other");

    function setUp() public {
        vm.warp(START);
        token = new RefiToken(address(this), SUPPLY);
        staking = new Staking(token, owner, tiers(1_000e18, 500, 10_000e18, 2_000));
        give(trader);
        give(other);
    }

    function test_a_stake_reaches_its_tier_at_the_threshold_and_not_below() public {
        stake(trader, 1_000e18 - 1);
        requireTier(trader, 0, 0);
        stake(trader, 1);
        requireTier(trader, 1, 500);
        stake(trader, 9_000e18);
        requireTier(trader, 2, 2_000);
        requireTier(other, 0, 0);
    }

    function test_votes_stay_with_whoever_stakes_and_go_where_they_say() public {
        vm.prank(trader);
        token.delegate(trader);
        stake(trader, 2_000e18);
        requireEqual(SHARE, token.getVotes(trader));
        vm.prank(trader);
        staking.delegateStake(guardian);
        requireEqual(SHARE - 2_000e18, token.getVotes(trader));
        requireEqual(2_000e18, token.getVotes(guardian));
        vm.expectRevert(abi.encodeWithSelector(IStaking.NoStake.selector, stranger));
        vm.prank(stranger);
        staking.delegateStake(stranger);
    }

    function test_what_is_asked_back_counts_no_more_and_waits() public {
        stake(trader, 10_000e18);
        vm.prank(trader);
        staking.requestUnstake(1);
        requireTier(trader, 1, 500);
        uint48 due = START + staking.COOLDOWN();
        vm.warp(due - 1);
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotAvailable.selector, 1, due));
        vm.prank(trader);
        staking.withdraw();
        vm.warp(due);
        vm.prank(trader);
        staking.withdraw();
        requireEqual(SHARE - 10_000e18 + 1, token.balanceOf(trader));
        vm.expectRevert(abi.encodeWithSelector(IStaking.NotAvailable.selector, 0, due));
        vm.prank(trader);
        staking.withdraw();
    }

    function test_a_second_request_starts_the_wait_of_all_afresh() public {
        stake(trader, 100);
        vm.startPrank(trader);
        staking.requestUnstake(40);
        vm.warp(START + staking.COOLDOWN() - 1);
        staking.requestUnstake(10);
        vm.warp(START + staking.COOLDOWN());
        vm.expectPartialRevert(IStaking.NotAvailable.selector);
        staking.withdraw();
        vm.warp(START + 2 * staking.COOLDOWN());
        staking.withdraw();
        vm.stopPrank();
        requireEqual(50, staking.stakedOf(trader));
        requireEqual(SHARE - 50, token.balanceOf(trader));
    }

    function test_nobody_takes_out_more_than_is_theirs() public {
        stake(other, 500);
        stake(trader, 100);
        vm.startPrank(trader);
        vm.expectRevert(abi.encodeWithSelector(IStaking.StakeTooSmall.selector, 100, 101));
        staking.requestUnstake(101);
        vm.expectRevert(abi.encodeWithSelector(IStaking.NothingToMove.selector));
        staking.requestUnstake(0);
        vm.expectRevert(abi.encodeWithSelector(IStaking.NothingToMove.selector));
        staking.stake(0);
        vm.stopPrank();
    }

    function test_only_staking_moves_a_vault() public {
        stake(trader, 100);
        StakeVault vault = StakeVault(staking.vaultOf(trader));
        address[4] memory others = [trader, owner, guardian, stranger];
        for (uint256 i = 0; i < others.length; i++) {
            vm.startPrank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(StakeVault.NotStaking.selector, others[i]));
            vault.pay(others[i], 1);
            vm.expectRevert(abi.encodeWithSelector(StakeVault.NotStaking.selector, others[i]));
            vault.delegate(others[i]);
            vm.stopPrank();
        }
    }

    function test_only_the_timelock_sets_tiers_and_they_rise() public {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, guardian));
        vm.prank(guardian);
        staking.setTiers(tiers(1, 1, 2, 2));
        vm.startPrank(owner);
        refuseTiers(tiers(0, 1, 2, 2), 0);
        refuseTiers(tiers(5, 1, 5, 2), 1);
        refuseTiers(tiers(5, 3, 6, 2), 1);
        refuseTiers(tiers(5, 3, 6, 10_001), 1);
        refuseTiers(new IStaking.Tier[](9), 8);
        staking.setTiers(tiers(5, 3, 6, 10_000));
        vm.stopPrank();
        requireEqual(2, staking.getTiers().length);
        stake(trader, 6);
        requireTier(trader, 2, 10_000);
    }

    function test_a_flash_loan_earns_no_tier_that_lasts() public {
        // What is borrowed can be staked but not given back in the same transaction
        stake(trader, 10_000e18);
        vm.startPrank(trader);
        staking.requestUnstake(10_000e18);
        requireTier(trader, 0, 0);
        vm.expectPartialRevert(IStaking.NotAvailable.selector);
        staking.withdraw();
        vm.stopPrank();
    }

    function testFuzz_stakes_add_up_to_what_the_vault_holds(uint96 staked, uint96 back, uint96 more) public {
        uint256 first = uint256(staked) % SHARE + 1;
        uint256 asked = uint256(back) % first + 1;
        stake(trader, first);
        vm.prank(trader);
        staking.requestUnstake(asked);
        uint256 second = uint256(more) % (SHARE - first + 1);
        if (second > 0) stake(trader, second);
        (uint256 pending,) = staking.pendingOf(trader);
        requireEqual(token.balanceOf(staking.vaultOf(trader)), staking.stakedOf(trader) + pending);
        vm.warp(block.timestamp + staking.COOLDOWN());
        vm.prank(trader);
        staking.withdraw();
        requireEqual(token.balanceOf(staking.vaultOf(trader)), staking.stakedOf(trader));
        requireEqual(SHARE, token.balanceOf(trader) + staking.stakedOf(trader));
    }

    function testFuzz_a_greater_stake_never_gets_less_back(uint96 less, uint96 more) public {
        uint256 small = uint256(less) % SHARE + 1;
        uint256 great = small + uint256(more) % (SHARE - small + 1);
        stake(trader, small);
        stake(other, great);
        requireTrue(staking.rebateOf(other) >= staking.rebateOf(trader), "monotone");
    }

    function give(address account) private {
        token.transfer(account, SHARE);
        vm.prank(account);
        token.approve(address(staking), type(uint256).max);
    }

    function stake(address account, uint256 amount) private {
        vm.prank(account);
        staking.stake(amount);
    }

    function refuseTiers(IStaking.Tier[] memory refused, uint256 position) private {
        vm.expectRevert(abi.encodeWithSelector(IStaking.InvalidTier.selector, position));
        staking.setTiers(refused);
    }

    function requireTier(address account, uint8 tier, uint16 rebateBps) private view {
        requireEqual(tier, staking.tierOf(account));
        requireEqual(rebateBps, staking.rebateOf(account));
    }

    function tiers(uint256 first, uint16 firstBps, uint256 second, uint16 secondBps)
        private
        pure
        returns (IStaking.Tier[] memory made)
    {
        made = new IStaking.Tier[](2);
        made[0] = IStaking.Tier(first, firstBps);
        made[1] = IStaking.Tier(second, secondBps);
    }
}
