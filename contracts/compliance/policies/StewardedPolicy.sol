// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Policy} from "./Policy.sol";

/// @title A policy with a limit that a steward may move as well as its owner
/// @dev The steward is meant to be a LimitSteward, which bounds how far and how often; any other account is not bounded.
/// To stop the steward: setSteward(address(0)).
abstract contract StewardedPolicy is Policy {
    address public steward;

    /// @notice Neither the owner nor the steward calls
    error NotOwnerOrSteward(address caller);

    /// @notice Another steward, zero for none
    event StewardSet(address indexed steward);

    modifier onlyOwnerOrSteward() {
        if (msg.sender != owner() && msg.sender != steward) revert NotOwnerOrSteward(msg.sender);
        _;
    }

    /// @notice Name the steward, zero for none. Owner only.
    function setSteward(address account) external onlyOwner {
        // slither-disable-next-line missing-zero-check
        steward = account;
        emit StewardSet(account);
    }
}
