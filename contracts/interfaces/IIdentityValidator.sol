// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Answers whether an account meets the requirements
/// @notice ABI of Chainlink ACE 1.0.0
interface IIdentityValidator {
    /// @notice Whether every requirement holds for the account's identity; never without an identity
    function validate(address account, bytes calldata context) external view returns (bool);
}
