// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {OrderExtractor} from "../../contracts/compliance/OrderExtractor.sol";
import {OrderGate} from "../../contracts/compliance/OrderGate.sol";
import {PolicyEngine} from "../../contracts/compliance/PolicyEngine.sol";
import {AuthorizedSenderPolicy} from "../../contracts/compliance/policies/AuthorizedSenderPolicy.sol";
import {IOrderGate} from "../../contracts/interfaces/IOrderGate.sol";
import {IPolicy} from "../../contracts/interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../contracts/interfaces/IPolicyEngine.sol";
import {OrderContext} from "../../contracts/libraries/OrderContext.sol";
import {Base} from "./Base.t.sol";

/// @notice A gate under an engine that this contract administers; policies are for the test to add
abstract contract GateWorld is Base {
    bytes32 internal constant TICKER = "AAPL";
    uint256 internal constant START = 1_451_606_400;
    bytes4 internal constant SUBMIT = IOrderGate.submitOrder.selector;
    bytes4 internal constant SETTLE = IOrderGate.settleVolumes.selector;

    PolicyEngine internal engine;
    OrderGate internal gate;
    AuthorizedSenderPolicy internal senders;

    function setUp() public virtual {
        vm.warp(START);
        engine = new PolicyEngine(address(this));
        OrderExtractor extractor = new OrderExtractor();
        engine.setExtractor(SUBMIT, address(extractor));
        engine.setExtractor(SETTLE, address(extractor));
        senders = new AuthorizedSenderPolicy(address(engine), owner, one(relay));
        gate = newGate();
    }

    function newGate() internal returns (OrderGate made) {
        made = new OrderGate(owner, address(engine));
        engine.setTargetDefaultPolicyAllow(address(made), true);
        engine.addPolicy(address(made), SUBMIT, address(senders), new bytes32[](0));
        engine.addPolicy(address(made), SETTLE, address(senders), new bytes32[](0));
    }

    /// @dev Add a policy of settlements and of orders, which takes the account and the notional.
    function addVolumePolicy(OrderGate to, IPolicy policy) internal {
        addPolicy(to, policy);
        engine.addPolicy(address(to), SETTLE, address(policy), one(keccak256("settlements")));
    }

    /// @dev Add a policy of orders, which takes the account and the notional.
    function addPolicy(OrderGate to, IPolicy policy) internal {
        bytes32[] memory names = new bytes32[](2);
        (names[0], names[1]) = (keccak256("account"), keccak256("notional"));
        engine.addPolicy(address(to), SUBMIT, address(policy), names);
    }

    function addPolicy(OrderGate to, IPolicy policy, string memory name) internal {
        engine.addPolicy(address(to), SUBMIT, address(policy), one(keccak256(bytes(name))));
    }

    function submit(address account, uint256 notional) internal {
        vm.prank(relay);
        gate.submitOrder(account, TICKER, notional, bytes32(0));
    }

    function submits(address account, uint256 notional) internal returns (bool passed) {
        vm.prank(relay);
        (passed,) = address(gate).call(abi.encodeCall(IOrderGate.submitOrder, (account, TICKER, notional, bytes32(0))));
    }

    function settle(address account, uint256 cumulative) internal {
        vm.prank(relay);
        gate.settleVolumes(settlement(account, cumulative));
    }

    function settlement(address account, uint256 cumulative)
        internal
        pure
        returns (IOrderGate.Settlement[] memory list)
    {
        list = new IOrderGate.Settlement[](1);
        list[0] = IOrderGate.Settlement(account, cumulative);
    }

    /// @dev What the engine's check of an order reverts with, empty where it passes.
    function refusalOf(address account, uint256 notional, bytes memory context) internal view returns (bytes memory) {
        return refusalOf(IOrderGate.OrderCheck(account, TICKER, notional, bytes32(0), context));
    }

    function refusalOf(IOrderGate.OrderCheck memory order) internal view returns (bytes memory) {
        IOrderGate.OrderCheck[] memory orders = new IOrderGate.OrderCheck[](1);
        orders[0] = order;
        return gate.checkOrders(relay, orders)[0];
    }

    function passes(address account, uint256 notional) internal view returns (bool) {
        return refusalOf(account, notional, "").length == 0;
    }

    function expectRejected(IPolicy policy, string memory reason, address account, uint256 notional) internal {
        requireRejected(policy, reason, refusalOf(account, notional, ""), account, notional, "");
        vm.expectPartialRevert(IPolicyEngine.PolicyRunRejected.selector);
        submit(account, notional);
    }

    function requireRejected(
        IPolicy policy,
        string memory reason,
        bytes memory refusal,
        address account,
        uint256 notional,
        bytes memory context
    ) internal view {
        bytes memory data = abi.encode(account, TICKER, notional, bytes32(0));
        IPolicyEngine.Payload memory payload = IPolicyEngine.Payload(SUBMIT, relay, data, context);
        requireEqual(
            keccak256(abi.encodeWithSelector(IPolicyEngine.PolicyRunRejected.selector, policy, reason, payload)),
            keccak256(refusal)
        );
    }

    function contextOf(uint256 cumulative, bool isPaper) internal pure returns (bytes memory) {
        return abi.encode(OrderContext.TAG, cumulative, isPaper);
    }

    function between(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + value % (high - low + 1);
    }
}
