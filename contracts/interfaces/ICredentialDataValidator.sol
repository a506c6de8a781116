// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Judges what an issuer wrote beside a credential
/// @notice ABI of Chainlink ACE 1.0.0
interface ICredentialDataValidator {
    /// @notice Whether the data makes the credential count; must not revert
    function validateCredentialData(
        bytes32 ccid,
        address account,
        bytes32 credentialTypeId,
        bytes calldata credentialData,
        bytes calldata context
    ) external view returns (bool);
}
