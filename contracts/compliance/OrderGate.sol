// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOrderGate} from "../interfaces/IOrderGate.sol";
import {PolicyProtected} from "./PolicyProtected.sol";

/// @title Implements IOrderGate, which says what it does, who may do it and how to stop it
contract OrderGate is IOrderGate, PolicyProtected {
    constructor(address initialOwner, address policyEngine) PolicyProtected(initialOwner, policyEngine) {}

    /// @inheritdoc IOrderGate
    function submitOrder(address account, bytes32 instrument, uint256 notional, bytes32 modelHash)
        external
        nonReentrant
        runPolicy
    {
        emit OrderSubmitted(account, instrument, modelHash, notional, msg.sender);
    }
}
