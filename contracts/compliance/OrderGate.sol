// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOrderGate} from "../interfaces/IOrderGate.sol";
import {IPolicyEngine} from "../interfaces/IPolicyEngine.sol";
import {IPolicyProtected} from "../interfaces/IPolicyProtected.sol";
import {PolicyProtected} from "./PolicyProtected.sol";

/// @title Implements IOrderGate, which says what it does, who may do it and how to stop it
contract OrderGate is IOrderGate, PolicyProtected {
    mapping(address account => uint256 cumulative) public settledOf;

    constructor(address initialOwner, address policyEngine) PolicyProtected(initialOwner, policyEngine) {}

    /// @inheritdoc IOrderGate
    function submitOrder(address account, bytes32 instrument, uint256 notional, bytes32 modelHash)
        external
        nonReentrant
        runPolicy
    {
        emit OrderSubmitted(account, instrument, modelHash, notional, msg.sender);
    }

    /// @inheritdoc IOrderGate
    function settleVolumes(Settlement[] calldata settlements) external nonReentrant runPolicy {
        address previous = address(0);
        for (uint256 i = 0; i < settlements.length; i++) {
            address account = settlements[i].account;
            if (account <= previous) revert SettlementsNotAscending(account);
            previous = account;
            uint256 cumulative = settlements[i].cumulative;
            uint256 settled = settledOf[account];
            if (cumulative < settled) revert CumulativeDecreased(account, settled, cumulative);
            settledOf[account] = cumulative;
            emit VolumeSettled(account, cumulative, cumulative - settled);
        }
    }

    /// @inheritdoc IOrderGate
    function checkOrders(address sender, OrderCheck[] calldata orders) external view returns (bytes[] memory refusals) {
        IPolicyEngine engine = IPolicyEngine(IPolicyProtected(address(this)).getPolicyEngine());
        refusals = new bytes[](orders.length);
        for (uint256 i = 0; i < orders.length; i++) {
            OrderCheck calldata order = orders[i];
            bytes memory arguments = abi.encode(order.account, order.instrument, order.notional, order.modelHash);
            // slither-disable-next-line calls-loop
            try engine.check(IPolicyEngine.Payload(this.submitOrder.selector, sender, arguments, order.context)) {}
            catch (bytes memory refusal) {
                // Without bytes it would read as passed: gas that runs out inside the engine leaves none.
                refusals[i] = refusal.length == 0 ? abi.encodeWithSelector(CheckFailed.selector) : refusal;
            }
        }
    }
}
