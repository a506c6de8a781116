// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title ISchemaRegistry
/// @notice What is used of the Ethereum Attestation Service's schema registry, a predeploy of every OP-stack chain.
interface ISchemaRegistry {
    /// @notice Register a schema, by anyone and once.
    /// @return uid keccak256(abi.encodePacked(schema, resolver, revocable))
    function register(string calldata schema, address resolver, bool revocable) external returns (bytes32 uid);
}
