// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title Holds one account's stake
/// @notice Votes are delegated by whoever holds the tokens: in one pot all stakes would vote as one.
/// @dev Only the staking contract that made it may call it. Nothing to stop.
contract StakeVault {
    using SafeERC20 for IERC20;

    address private immutable STAKING;
    IERC20 private immutable TOKEN;

    /// @notice Somebody else than the staking contract calls
    error NotStaking(address caller);

    modifier onlyStaking() {
        if (msg.sender != STAKING) revert NotStaking(msg.sender);
        _;
    }

    constructor(IERC20 token) {
        STAKING = msg.sender;
        TOKEN = token;
    }

    /// @notice Say who votes with what lies here
    function delegate(address delegatee) external onlyStaking {
        IVotes(address(TOKEN)).delegate(delegatee);
    }

    /// @notice Pay out
    function pay(address to, uint256 amount) external onlyStaking {
        TOKEN.safeTransfer(to, amount);
    }
}
