// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Which accounts belong to one (pseudonymous) person
/// @notice ABI of Chainlink ACE 1.0.0. A ccid is any non-zero number made off chain; it says nothing about the person.
/// @dev Writing is guarded by the policy engine: issuers only. To stop it: take the issuer out of its sender policy.
interface IIdentityRegistry {
    /// @notice The account has an identity already
    error IdentityAlreadyRegistered(bytes32 ccid, address account);
    /// @notice The account does not have this identity
    error IdentityNotFound(bytes32 ccid, address account);
    /// @notice The identity or the account is zero, or two lists that belong together differ in length
    error InvalidIdentityConfiguration(bytes errorReason);

    /// @notice An account got an identity
    event IdentityRegistered(bytes32 indexed ccid, address indexed account);
    /// @notice An account lost its identity
    event IdentityRemoved(bytes32 indexed ccid, address indexed account);

    /// @notice Name and version of the implementation
    function typeAndVersion() external pure returns (string memory);

    /// @notice Give an account its identity
    function registerIdentity(bytes32 ccid, address account, bytes calldata context) external;

    /// @notice Give several accounts their identities
    function registerIdentities(bytes32[] calldata ccids, address[] calldata accounts, bytes calldata context) external;

    /// @notice Take an account's identity
    function removeIdentity(bytes32 ccid, address account, bytes calldata context) external;

    /// @notice The account's identity, zero for none
    function getIdentity(address account) external view returns (bytes32);

    /// @notice The identity's accounts
    function getAccounts(bytes32 ccid) external view returns (address[] memory);
}
