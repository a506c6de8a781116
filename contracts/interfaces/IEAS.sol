// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title IEAS
/// @notice What is used of the Ethereum Attestation Service, a predeploy of every OP-stack chain.
/// @dev Its ABI, not its code.
interface IEAS {
    /// @param refUID the attestation that this one refers to, zero if none
    struct AttestationRequestData {
        address recipient;
        uint64 expirationTime;
        bool revocable;
        bytes32 refUID;
        bytes data;
        uint256 value;
    }

    /// @notice What `attest` takes.
    struct AttestationRequest {
        bytes32 schema;
        AttestationRequestData data;
    }

    /// @notice What it keeps.
    struct Attestation {
        bytes32 uid;
        bytes32 schema;
        uint64 time;
        uint64 expirationTime;
        uint64 revocationTime;
        bytes32 refUID;
        address recipient;
        address attester;
        bool revocable;
        bytes data;
    }

    /// @notice Attest, if the schema's resolver accepts it.
    function attest(AttestationRequest calldata request) external payable returns (bytes32 uid);

    /// @notice An attestation, all zero if there is none.
    function getAttestation(bytes32 uid) external view returns (Attestation memory);
}
