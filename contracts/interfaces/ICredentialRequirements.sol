// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Which credentials are asked for, and where they are looked up
/// @notice ABI of Chainlink ACE 1.0.0
/// @dev The owner edits requirements and sources. With no requirement left nobody passes.
interface ICredentialRequirements {
    /// @param credentialTypeIds Any of these count
    /// @param minValidations How many of them must hold
    /// @param invert Whether they must NOT hold (a sanctions flag)
    struct CredentialRequirement {
        bytes32[] credentialTypeIds;
        uint256 minValidations;
        bool invert;
    }

    /// @param identityRegistry Where the account's identity is looked up
    /// @param credentialRegistry Where the identity's credential is looked up
    /// @param dataValidator What judges the credential's data, zero for nothing
    struct CredentialSource {
        address identityRegistry;
        address credentialRegistry;
        address dataValidator;
    }

    /// @notice A requirement with its id
    struct CredentialRequirementInput {
        bytes32 requirementId;
        bytes32[] credentialTypeIds;
        uint256 minValidations;
        bool invert;
    }

    /// @notice A source with the type that it serves
    struct CredentialSourceInput {
        bytes32 credentialTypeId;
        address identityRegistry;
        address credentialRegistry;
        address dataValidator;
    }

    /// @notice There is a requirement with this id
    error RequirementExists(bytes32 requirementId);
    /// @notice There is no requirement with this id
    error RequirementNotFound(bytes32 requirementId);
    /// @notice The source is there already
    error SourceExists(bytes32 credentialTypeId, address identityRegistry, address credentialRegistry);
    /// @notice The source is not there
    error CredentialSourceNotFound(bytes32 credentialTypeId, address identityRegistry, address credentialRegistry);
    /// @notice The requirement can never hold or holds always, a source names no registry, or a list is full
    error InvalidRequirementConfiguration(string errorReason);

    /// @notice A requirement was added
    event CredentialRequirementAdded(
        bytes32 indexed requirementId, bytes32[] credentialTypeIds, uint256 minValidations, bool invert
    );
    /// @notice A requirement was removed
    event CredentialRequirementRemoved(
        bytes32 indexed requirementId, bytes32[] credentialTypeIds, uint256 minValidations, bool invert
    );
    /// @notice A source was added
    event CredentialSourceAdded(
        bytes32 indexed credentialTypeId,
        address indexed identityRegistry,
        address indexed credentialRegistry,
        address dataValidator
    );
    /// @notice A source was removed
    event CredentialSourceRemoved(
        bytes32 indexed credentialTypeId,
        address indexed identityRegistry,
        address indexed credentialRegistry,
        address dataValidator
    );

    /// @notice Ask for something more
    function addCredentialRequirement(CredentialRequirementInput calldata input) external;

    /// @notice Ask for it no longer
    function removeCredentialRequirement(bytes32 requirementId) external;

    /// @notice One requirement
    function getCredentialRequirement(bytes32 requirementId) external view returns (CredentialRequirement memory);

    /// @notice The ids of all requirements
    function getCredentialRequirementIds() external view returns (bytes32[] memory);

    /// @notice Look a type up in one more place
    function addCredentialSource(CredentialSourceInput calldata input) external;

    /// @notice Look a type up there no longer
    function removeCredentialSource(bytes32 credentialTypeId, address identityRegistry, address credentialRegistry)
        external;

    /// @notice Where a type is looked up
    function getCredentialSources(bytes32 credentialTypeId) external view returns (CredentialSource[] memory);
}
