// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SlidingVolumePolicy} from "../../contracts/compliance/policies/SlidingVolumePolicy.sol";
import {IOrderGate} from "../../contracts/interfaces/IOrderGate.sol";
import {IPolicyEngine} from "../../contracts/interfaces/IPolicyEngine.sol";
import {GateWorld} from "./GateWorld.sol";

contract SettlementTest is GateWorld {
    uint256 private constant LIMIT = 1_000e6;
    uint48 private constant WINDOW = 1 days;

    SlidingVolumePolicy private sliding;

    function setUp() public override {
        super.setUp();
        sliding = new SlidingVolumePolicy(address(engine), owner, LIMIT, WINDOW);
        addVolumePolicy(gate, sliding);
    }

    function test_a_settlement_counts_and_the_same_again_changes_nothing() public {
        vm.expectEmit();
        emit IOrderGate.VolumeSettled(trader, 600e6, 600e6);
        settle(trader, 600e6);
        settle(trader, 600e6);
        requireEqual(600e6, gate.settledOf(trader));
        requireEqual(600e6, sliding.recordedOf(trader));
        requireTrue(passes(trader, 400e6) && !passes(trader, 400e6 + 1), "counted once");
    }

    function test_facts_are_not_refused_and_the_next_order_is() public {
        settle(trader, 50 * LIMIT);
        requireEqual(50 * LIMIT, sliding.volumeOf(trader));
        expectRejected(sliding, "volume within the window is over the limit", trader, 1);
        vm.warp(START + WINDOW);
        submit(trader, LIMIT);
    }

    function test_a_context_is_for_one_call_of_its_sender() public {
        vm.startPrank(relay);
        gate.setContext(contextOf(5, false));
        requireEqual(keccak256(contextOf(5, false)), keccak256(gate.getContext()));
        gate.submitOrder(trader, TICKER, 1, bytes32(0));
        requireEqual(0, gate.getContext().length);
        vm.stopPrank();
    }

    function test_nothing_is_unsettled() public {
        settle(trader, 5);
        vm.expectRevert(abi.encodeWithSelector(IOrderGate.CumulativeDecreased.selector, trader, 5, 4));
        settle(trader, 4);
        requireEqual(5, sliding.recordedOf(trader));
    }

    function test_an_account_named_twice_or_out_of_order_settles_nothing() public {
        IOrderGate.Settlement[] memory list = new IOrderGate.Settlement[](2);
        (list[0], list[1]) = (IOrderGate.Settlement(trader, 5), IOrderGate.Settlement(trader, 9));
        vm.expectRevert(abi.encodeWithSelector(IOrderGate.SettlementsNotAscending.selector, trader));
        vm.prank(relay);
        gate.settleVolumes(list);
        (list[0].account, list[1].account) = (address(9), address(8));
        vm.expectRevert(abi.encodeWithSelector(IOrderGate.SettlementsNotAscending.selector, address(8)));
        vm.prank(relay);
        gate.settleVolumes(list);
        vm.expectRevert(abi.encodeWithSelector(IOrderGate.SettlementsNotAscending.selector, address(0)));
        settle(address(0), 1);
        requireEqual(0, sliding.recordedOf(trader));
        requireEqual(0, sliding.recordedOf(address(9)));
    }

    function testFuzz_only_the_relay_settles(address caller) public {
        vm.assume(caller != relay);
        vm.prank(caller);
        vm.expectPartialRevert(IPolicyEngine.PolicyRunRejected.selector);
        gate.settleVolumes(settlement(trader, 1));
    }

    function testFuzz_every_trade_counts_exactly_once_whatever_lies_between(uint256 seed) public {
        uint256 direct = 0;
        uint256 cumulative = 0;
        vm.prank(owner);
        sliding.setLimit(type(uint64).max);
        for (uint256 i = 0; i < 16; i++) {
            seed = uint256(keccak256(abi.encode(seed)));
            vm.warp(block.timestamp + (seed >> 8) % 1 hours);
            uint256 amount = (seed >> 64) % LIMIT;
            if (seed % 3 == 0) {
                submit(trader, amount);
                direct += amount;
            } else {
                if (seed % 3 == 1) cumulative += amount;
                settle(trader, cumulative);
            }
            requireEqual(cumulative, gate.settledOf(trader));
            requireEqual(cumulative + direct, sliding.recordedOf(trader));
            requireEqual(cumulative + direct, sliding.volumeOf(trader));
        }
    }

    function testFuzz_settling_changes_no_verdict_on_an_order_whose_context_says_as_much(uint256 traded, uint256 amount)
        public
    {
        traded = between(traded, 0, 2 * LIMIT);
        amount = between(amount, 0, 2 * LIMIT);
        bool before = refusalOf(trader, amount, contextOf(traded, false)).length == 0;
        settle(trader, traded);
        requireTrue(before == (refusalOf(trader, amount, contextOf(traded, false)).length == 0), "settled or not");
        requireTrue(before == passes(trader, amount), "with or without a context");
    }

    function test_many_accounts_settle_in_one_call() public {
        IOrderGate.Settlement[] memory list = new IOrderGate.Settlement[](100);
        for (uint160 i = 0; i < list.length; i++) {
            list[i] = IOrderGate.Settlement(address(i + 1), i);
        }
        vm.prank(relay);
        gate.settleVolumes(list);
        for (uint160 i = 0; i < list.length; i++) {
            requireEqual(i, sliding.recordedOf(address(i + 1)));
            requireEqual(i, gate.settledOf(address(i + 1)));
        }
    }

    function test_another_encoding_of_the_same_settlements_counts_the_same() public {
        bytes memory padded = bytes.concat(
            SETTLE, abi.encode(uint256(64), uint256(7), uint256(1)), abi.encode(trader, uint256(5)), hex"ff"
        );
        vm.prank(relay);
        (bool settled,) = address(gate).call(padded);
        requireTrue(settled, "accepted");
        requireEqual(5, gate.settledOf(trader));
        requireEqual(5, sliding.recordedOf(trader));
    }

    function test_malformed_settlements_change_nothing() public {
        bytes[3] memory forms = [
            abi.encode(uint256(32), uint256(2), trader, uint256(5)),
            abi.encode(uint256(32), type(uint256).max, trader, uint256(5)),
            abi.encode(uint256(32), uint256(1), (uint256(1) << 160) | uint160(trader), uint256(5))
        ];
        for (uint256 i = 0; i < forms.length; i++) {
            vm.prank(relay);
            (bool settled,) = address(gate).call(bytes.concat(SETTLE, forms[i]));
            requireTrue(!settled, "refused");
        }
        requireEqual(0, sliding.recordedOf(trader));
    }
}
