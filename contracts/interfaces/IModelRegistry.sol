// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Which trading models may decide orders
/// @notice A model is known by the SHA-256 of its weights and description. Promoting one leaves the others as they
/// are: several strategies may be in production; a replacement retires its predecessor in the same governance proposal.
/// @dev Proposers propose; the owner (timelock) approves, promotes, retires and names proposers and the guardian;
/// the guardian revokes at once and for good. To stop a model: `revoke`.
interface IModelRegistry {
    /// @notice A model's life: None, Proposed, Approved, Production, Retired (and back to Production); Revoked is final
    enum State {
        None,
        Proposed,
        Approved,
        Production,
        Retired,
        Revoked
    }

    /// @param torchScriptCid Where the TorchScript export is pinned
    /// @param reportCid Where the evaluation report is pinned
    /// @param featureSchemaHash SHA-256 of the feature schema
    /// @param proposer Who proposed it
    struct Model {
        State state;
        address proposer;
        bytes32 featureSchemaHash;
        string torchScriptCid;
        string reportCid;
    }

    /// @notice The model is not in a state from which this step can be taken
    error WrongState(bytes32 modelHash, State actual);
    /// @notice The hash is zero, which stands for a person's decision
    error ZeroModelHash();
    /// @notice The caller may not propose
    error NotProposer(address caller);
    /// @notice The caller is not the guardian
    error NotGuardian(address caller);

    /// @notice A model was proposed
    event ModelProposed(
        bytes32 indexed modelHash,
        address indexed proposer,
        string torchScriptCid,
        bytes32 featureSchemaHash,
        string reportCid
    );
    /// @notice A model was approved
    event ModelApproved(bytes32 indexed modelHash);
    /// @notice A model may decide orders from now on
    event ModelPromoted(bytes32 indexed modelHash);
    /// @notice A model may not decide orders any more, but may be promoted again
    event ModelRetired(bytes32 indexed modelHash);
    /// @notice A model may never decide orders again
    event ModelRevoked(bytes32 indexed modelHash, address indexed guardian);
    /// @notice An account may propose, or not any more
    event ProposerSet(address indexed account, bool allowed);
    /// @notice Another account may revoke
    event GuardianSet(address indexed guardian);

    /// @notice Put a model on record
    function propose(
        bytes32 modelHash,
        string calldata torchScriptCid,
        bytes32 featureSchemaHash,
        string calldata reportCid
    ) external;

    /// @notice Approve a proposed model
    function approve(bytes32 modelHash) external;

    /// @notice Let an approved (or retired) model decide orders
    function promote(bytes32 modelHash) external;

    /// @notice Take a model out of production
    function retire(bytes32 modelHash) external;

    /// @notice Ban a model for good
    function revoke(bytes32 modelHash) external;

    /// @notice Name or dismiss a proposer
    function setProposer(address account, bool allowed) external;

    /// @notice Name the guardian
    function setGuardian(address account) external;

    /// @notice The model's state
    function stateOf(bytes32 modelHash) external view returns (State);

    /// @notice Whether the model may decide orders: only in production
    function isApproved(bytes32 modelHash) external view returns (bool);

    /// @notice What was proposed, and its state
    function modelOf(bytes32 modelHash) external view returns (Model memory);
}
