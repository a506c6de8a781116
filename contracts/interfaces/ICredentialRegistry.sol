// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICredentialValidator} from "./ICredentialValidator.sol";

/// @title What was found about an identity, and until when that holds
/// @notice ABI of Chainlink ACE 1.0.0. A type is keccak256 of its name ("common.kyc"); data is a hash, never a fact
/// about a person.
/// @dev Writing is guarded by the policy engine: issuers only. To stop it: take the issuer out of its sender policy.
interface ICredentialRegistry is ICredentialValidator {
    /// @param expiresAt Unix time from which it does not hold, 0 for never
    /// @param credentialData Hash of, or pointer to, what the issuer keeps
    struct Credential {
        uint40 expiresAt;
        bytes credentialData;
    }

    /// @notice The identity has the credential already, perhaps expired: renew it
    error CredentialAlreadyRegistered(bytes32 ccid, bytes32 credentialTypeId);
    /// @notice The identity does not have the credential
    error CredentialNotFound(bytes32 ccid, bytes32 credentialTypeId);
    /// @notice The identity or the type is zero, the credential would be expired from its first moment, or two lists
    /// that belong together differ in length
    error InvalidCredentialConfiguration(string errorReason);

    /// @notice An identity got a credential
    event CredentialRegistered(
        bytes32 indexed ccid, bytes32 indexed credentialTypeId, uint40 expiresAt, bytes credentialData
    );
    /// @notice An identity lost a credential
    event CredentialRemoved(bytes32 indexed ccid, bytes32 indexed credentialTypeId);
    /// @notice A credential has another end
    event CredentialRenewed(
        bytes32 indexed ccid, bytes32 indexed credentialTypeId, uint40 previousExpiresAt, uint40 expiresAt
    );

    /// @notice Name and version of the implementation
    function typeAndVersion() external pure returns (string memory);

    /// @notice Give an identity a credential
    function registerCredential(
        bytes32 ccid,
        bytes32 credentialTypeId,
        uint40 expiresAt,
        bytes calldata credentialData,
        bytes calldata context
    ) external;

    /// @notice Give an identity several credentials with one end
    function registerCredentials(
        bytes32 ccid,
        bytes32[] calldata credentialTypeIds,
        uint40 expiresAt,
        bytes[] calldata credentialDatas,
        bytes calldata context
    ) external;

    /// @notice Take a credential
    function removeCredential(bytes32 ccid, bytes32 credentialTypeId, bytes calldata context) external;

    /// @notice Give a credential another end
    function renewCredential(bytes32 ccid, bytes32 credentialTypeId, uint40 expiresAt, bytes calldata context) external;

    /// @notice Whether the credential's end has passed
    function isCredentialExpired(bytes32 ccid, bytes32 credentialTypeId) external view returns (bool);

    /// @notice The types of the identity's credentials, expired ones too
    function getCredentialTypes(bytes32 ccid) external view returns (bytes32[] memory);

    /// @notice One credential
    function getCredential(bytes32 ccid, bytes32 credentialTypeId) external view returns (Credential memory);

    /// @notice Several credentials
    function getCredentials(bytes32 ccid, bytes32[] calldata credentialTypeIds)
        external
        view
        returns (Credential[] memory);
}
