// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title ISchemaRegistry
/// @notice What is used of the Ethereum Attestation Service's schema registry, a predeploy of every OP-stack chain.
interface ISchemaRegistry {
    /// @notice What it keeps.
    struct SchemaRecord {
        bytes32 uid;
        address resolver;
        bool revocable;
        string schema;
    }

    /// @notice Register a schema, by anyone and once.
    /// @return uid keccak256(abi.encodePacked(schema, resolver, revocable))
    function register(string calldata schema, address resolver, bool revocable) external returns (bytes32 uid);

    /// @notice A schema, all zero if there is none.
    function getSchema(bytes32 uid) external view returns (SchemaRecord memory);
}
