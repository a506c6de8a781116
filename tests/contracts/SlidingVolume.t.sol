// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {OrderGate} from "../../contracts/compliance/OrderGate.sol";
import {Policy} from "../../contracts/compliance/policies/Policy.sol";
import {SlidingVolumePolicy} from "../../contracts/compliance/policies/SlidingVolumePolicy.sol";
import {StewardedPolicy} from "../../contracts/compliance/policies/StewardedPolicy.sol";
import {IPolicy} from "../../contracts/interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../contracts/interfaces/IPolicyEngine.sol";
import {ISlidingVolume} from "../../contracts/interfaces/ISlidingVolume.sol";
import {GateWorld} from "./GateWorld.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @notice What a window that is fixed to multiples of its length lets through: the clock's edge empties it
contract FixedWindow is Policy {
    uint256 public immutable limit;
    uint256 public immutable window;
    mapping(address account => mapping(uint256 period => uint256 amount)) public volumes;

    constructor(address engine, address owner, uint256 limit_, uint256 window_) Policy(engine, owner) {
        (limit, window) = (limit_, window_);
    }

    function postRun(address, address, bytes4, bytes[] calldata parameters, bytes calldata)
        external
        override
        onlyPolicyEngine
    {
        volumes[abi.decode(parameters[0], (address))][block.timestamp / window] += abi.decode(parameters[1], (uint256));
    }

    function typeAndVersion() external pure returns (string memory) {
        return "FixedWindow";
    }

    function run(address, address, bytes4, bytes[] calldata parameters, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        uint256 volume = volumes[abi.decode(parameters[0], (address))][block.timestamp / window];
        if (volume + abi.decode(parameters[1], (uint256)) > limit) revert IPolicyEngine.PolicyRejected("over");
        return IPolicyEngine.PolicyResult.Continue;
    }
}

/// @notice Trades at random times and keeps every trade, to be summed the slow way
contract RandomTrader is GateWorld {
    struct Trade {
        address account;
        uint256 time;
        uint256 amount;
    }

    uint256 internal constant LIMIT = 1_000e6;
    uint48 internal constant WINDOW = 1 days;
    string internal constant OVER = "volume within the window is over the limit";

    SlidingVolumePolicy internal sliding;
    Trade[] internal trades;
    address[] internal accounts;

    function setUp() public virtual override {
        super.setUp();
        sliding = new SlidingVolumePolicy(address(engine), owner, LIMIT, WINDOW);
        addVolumePolicy(gate, sliding);
        accounts.push(trader);
        accounts.push(stranger);
    }

    function trade(uint256 of_, uint256 wait, uint256 amount) public {
        vm.warp(block.timestamp + wait % (2 * WINDOW / 3));
        address account = accounts[of_ % accounts.length];
        amount = between(amount, 1, LIMIT * 2 / 3);
        bool fits = volumeUntil(account, block.timestamp) + amount <= sliding.getLimit();
        requireTrue(passes(account, amount) == fits, "the check agrees with the slow sum");
        requireTrue(submits(account, amount) == fits, "the order agrees with the slow sum");
        if (fits) trades.push(Trade(account, block.timestamp, amount));
    }

    function requireNoWindowOverLimit() public view {
        for (uint256 i = 0; i < trades.length; i++) {
            requireTrue(volumeUntil(trades[i].account, trades[i].time) <= LIMIT, "a window holds too much");
        }
        for (uint256 i = 0; i < accounts.length; i++) {
            requireEqual(volumeUntil(accounts[i], block.timestamp), sliding.volumeOf(accounts[i]));
        }
    }

    function volumeUntil(address account, uint256 end) internal view returns (uint256 volume) {
        for (uint256 i = 0; i < trades.length; i++) {
            Trade storage it = trades[i];
            if (it.account == account && it.time <= end && it.time + sliding.getWindow() > end) volume += it.amount;
        }
    }
}

contract SlidingVolumeInvariantTest is RandomTrader {
    RandomTrader private world;

    function setUp() public override {
        world = new RandomTrader();
        world.setUp();
    }

    function targetContracts() public view returns (address[] memory) {
        return one(address(world));
    }

    function targetSelectors() public view returns (FuzzSelector[] memory selectors) {
        selectors = new FuzzSelector[](1);
        selectors[0].addr = address(world);
        selectors[0].selectors = new bytes4[](1);
        selectors[0].selectors[0] = RandomTrader.trade.selector;
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// forge-config: default.invariant.runs = 24
    /// forge-config: default.invariant.depth = 48
    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_no_window_of_any_account_holds_more_than_the_limit() public view {
        world.requireNoWindowOverLimit();
    }
}

contract SlidingVolumeTest is RandomTrader {
    function testFuzz_volume_is_what_the_slow_sum_says_in_windows_of_any_length(uint256 seed) public {
        vm.prank(owner);
        sliding.setWindow(uint48(between(seed, 1, 3 days)));
        for (uint256 i = 0; i < 12; i++) {
            seed = uint256(keccak256(abi.encode(seed)));
            trade(seed, seed >> 64, seed >> 128);
            requireEqual(volumeUntil(trader, block.timestamp), sliding.volumeOf(trader));
        }
    }

    function test_a_fixed_window_lets_twice_its_limit_through_at_its_edge_and_a_sliding_one_does_not() public {
        FixedWindow fixed_ = new FixedWindow(address(engine), owner, LIMIT, WINDOW);
        OrderGate other = newGate();
        addPolicy(other, fixed_);
        vm.warp(START + WINDOW - 1);
        vm.prank(relay);
        other.submitOrder(trader, TICKER, LIMIT, bytes32(0));
        submit(trader, LIMIT);
        vm.warp(START + WINDOW);
        vm.prank(relay);
        other.submitOrder(trader, TICKER, LIMIT, bytes32(0));
        expectRejected(sliding, OVER, trader, 1);
        requireEqual(LIMIT, sliding.recordedOf(trader));
    }

    function test_a_trade_leaves_the_window_when_its_length_has_passed() public {
        submit(trader, LIMIT);
        vm.warp(START + WINDOW - 1);
        expectRejected(sliding, OVER, trader, 1);
        vm.warp(START + WINDOW);
        requireEqual(0, sliding.volumeOf(trader));
        submit(trader, LIMIT);
        requireEqual(2 * LIMIT, sliding.recordedOf(trader));
    }

    function test_the_limit_itself_passes_and_accounts_have_one_each() public {
        submit(trader, LIMIT - 1);
        expectRejected(sliding, OVER, trader, 2);
        submit(trader, 1);
        expectRejected(sliding, OVER, trader, 1);
        submit(stranger, LIMIT);
    }

    function test_a_check_moves_nothing() public view {
        requireTrue(passes(trader, LIMIT) && passes(trader, LIMIT), "both");
        requireEqual(0, sliding.recordedOf(trader));
        requireEqual(0, sliding.firstVolumeAt(trader));
    }

    function test_the_first_volume_keeps_its_time() public {
        vm.warp(START + 5);
        submit(trader, 1);
        vm.warp(START + 500 days);
        submit(trader, 1);
        requireEqual(START + 5, sliding.firstVolumeAt(trader));
    }

    function test_a_longer_window_counts_what_was_recorded_before_it() public {
        submit(trader, LIMIT);
        vm.warp(START + WINDOW);
        requireTrue(passes(trader, 1), "left the window");
        vm.prank(owner);
        sliding.setWindow(WINDOW + 1);
        expectRejected(sliding, OVER, trader, 1);
        vm.prank(owner);
        sliding.setWindow(type(uint32).max);
        expectRejected(sliding, OVER, trader, 1);
    }

    function testFuzz_what_is_traded_off_chain_and_not_settled_counts(uint256 settled, uint256 traded, uint256 amount)
        public
    {
        settled = between(settled, 0, LIMIT);
        settle(trader, settled);
        uint256 unsettled = traded > settled ? traded - settled : 0;
        bool fits = unsettled <= LIMIT && amount <= LIMIT && settled + unsettled + amount <= LIMIT;
        requireTrue((refusalOf(trader, amount, contextOf(traded, false)).length == 0) == fits, "counted");
    }

    function testFuzz_a_context_only_makes_stricter(
        bytes memory context,
        uint256 cumulative,
        uint256 amount,
        bool isPaper
    ) public {
        submit(trader, LIMIT / 2);
        amount = between(amount, 0, LIMIT);
        bool passesBare = passes(trader, amount);
        requireTrue(passesBare || refusalOf(trader, amount, context).length != 0, "free bytes");
        requireTrue(
            passesBare || refusalOf(trader, amount, contextOf(cumulative, isPaper)).length != 0, "an order's context"
        );
    }

    function test_sums_beyond_any_number_are_refused_not_wrapped() public {
        submit(trader, 1);
        bytes memory context = contextOf(type(uint256).max, false);
        requireRejected(sliding, OVER, refusalOf(trader, 1, context), trader, 1, context);
        uint256 most = type(uint256).max;
        requireRejected(sliding, OVER, refusalOf(trader, most, ""), trader, most, "");
    }

    function test_a_second_target_of_the_same_engine_cannot_touch_the_counters() public {
        submit(trader, 1);
        requireEqual(address(gate), sliding.boundTo());
        OrderGate other = newGate();
        addVolumePolicy(other, sliding);
        vm.expectPartialRevert(IPolicyEngine.PolicyRunRejected.selector);
        vm.prank(relay);
        other.submitOrder(trader, TICKER, 1, bytes32(0));
        vm.expectPartialRevert(IPolicyEngine.PolicyRunRejected.selector);
        vm.prank(relay);
        other.settleVolumes(settlement(trader, LIMIT));
        requireEqual(1, sliding.recordedOf(trader));
    }

    function test_an_attached_contract_without_the_policy_in_its_chain_cannot_touch_the_counters() public {
        engine.attach();
        engine.setDefaultPolicyAllow(true);
        bytes memory data = abi.encode(trader, TICKER, LIMIT, bytes32(0));
        vm.expectPartialRevert(IPolicyEngine.PolicyRunRejected.selector);
        engine.run(IPolicyEngine.Payload(SUBMIT, relay, data, ""));
        requireEqual(0, sliding.recordedOf(trader));
    }

    function test_only_its_engine_records() public {
        bytes[] memory parameters = new bytes[](2);
        (parameters[0], parameters[1]) = (abi.encode(trader), abi.encode(1));
        address[3] memory callers = [owner, relay, address(gate)];
        for (uint256 i = 0; i < callers.length; i++) {
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(IPolicy.Unauthorized.selector));
            sliding.postRun(relay, address(gate), SUBMIT, parameters, "");
        }
        vm.prank(address(engine));
        sliding.postRun(relay, address(gate), SUBMIT, parameters, "");
        vm.prank(address(engine));
        vm.expectRevert(abi.encodeWithSelector(ISlidingVolume.ServesAnother.selector, address(gate)));
        sliding.postRun(relay, address(this), SUBMIT, parameters, "");
    }

    function test_another_number_of_parameters_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IPolicy.InvalidParameters.selector, "expected 2 parameters"));
        sliding.run(relay, address(gate), SUBMIT, new bytes[](1), "");
        vm.prank(address(engine));
        vm.expectRevert(abi.encodeWithSelector(IPolicy.InvalidParameters.selector, "expected 1 parameter"));
        sliding.postRun(relay, address(gate), SETTLE, new bytes[](2), "");
    }

    function testFuzz_only_owner_and_steward_set_the_limit_and_only_the_owner_the_rest(address caller) public {
        address steward = roleOf("steward");
        vm.assume(caller != owner && caller != steward);
        vm.prank(owner);
        sliding.setSteward(steward);
        vm.startPrank(caller);
        vm.expectRevert(abi.encodeWithSelector(StewardedPolicy.NotOwnerOrSteward.selector, caller));
        sliding.setLimit(1);
        vm.stopPrank();
        address[2] memory others = [caller, steward];
        for (uint256 i = 0; i < others.length; i++) {
            bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, others[i]);
            vm.startPrank(others[i]);
            vm.expectRevert(refusal);
            sliding.setWindow(1);
            vm.expectRevert(refusal);
            sliding.setSteward(others[i]);
            vm.expectRevert(refusal);
            sliding.transferOwnership(others[i]);
            vm.stopPrank();
        }
        vm.prank(steward);
        sliding.setLimit(7);
        requireEqual(7, sliding.getLimit());
        vm.prank(owner);
        sliding.setSteward(address(0));
        vm.prank(steward);
        vm.expectRevert(abi.encodeWithSelector(StewardedPolicy.NotOwnerOrSteward.selector, steward));
        sliding.setLimit(8);
    }

    function test_senseless_settings_are_refused_and_a_limit_of_zero_stops_everyone() public {
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(ISlidingVolume.InvalidWindow.selector, 0));
        sliding.setWindow(0);
        vm.expectRevert(abi.encodeWithSelector(ISlidingVolume.InvalidWindow.selector, uint256(1) << 32));
        sliding.setWindow(1 << 32);
        uint256 most = uint256(1) << 64;
        vm.expectRevert(abi.encodeWithSelector(ISlidingVolume.LimitTooLarge.selector, most));
        sliding.setLimit(most);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableInvalidOwner.selector, address(0)));
        new SlidingVolumePolicy(address(engine), address(0), 1, 1);
        sliding.setLimit(most - 1);
        sliding.setLimit(0);
        vm.stopPrank();
        requireEqual(WINDOW, sliding.getWindow());
        expectRejected(sliding, OVER, trader, 1);
    }
}
