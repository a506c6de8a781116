// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Answers whether an identity holds a credential now
/// @notice ABI of Chainlink ACE 1.0.0
interface ICredentialValidator {
    /// @notice Whether the credential is there and has not expired
    function validate(bytes32 ccid, bytes32 credentialTypeId, bytes calldata context) external view returns (bool);

    /// @notice Whether all of them are there and have not expired; none are always there
    function validateAll(bytes32 ccid, bytes32[] calldata credentialTypeIds, bytes calldata context)
        external
        view
        returns (bool);
}
