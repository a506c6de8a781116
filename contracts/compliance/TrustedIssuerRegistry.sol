// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ITrustedIssuerRegistry} from "../interfaces/ITrustedIssuerRegistry.sol";
import {PolicyProtected} from "./PolicyProtected.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";

/// @title Implements ITrustedIssuerRegistry, which says what it does, who may do it and how to stop it
contract TrustedIssuerRegistry is ITrustedIssuerRegistry, PolicyProtected {
    using EnumerableSet for EnumerableSet.Bytes32Set;

    EnumerableSet.Bytes32Set private _issuers;

    /// @notice The issuer is trusted already
    error IssuerTrusted(bytes32 issuerIdHash);
    /// @notice The issuer is not trusted
    error IssuerNotTrusted(bytes32 issuerIdHash);

    constructor(address initialOwner, address policyEngine) PolicyProtected(initialOwner, policyEngine) {}

    /// @inheritdoc ITrustedIssuerRegistry
    function typeAndVersion() external pure returns (string memory) {
        return "TrustedIssuerRegistry 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc ITrustedIssuerRegistry
    function addTrustedIssuer(string memory issuerId, bytes calldata context)
        external
        nonReentrant
        runPolicyWithContext(context)
    {
        bytes32 hash = keccak256(bytes(issuerId));
        if (!_issuers.add(hash)) revert IssuerTrusted(hash);
        emit TrustedIssuerAdded(hash, issuerId);
    }

    /// @inheritdoc ITrustedIssuerRegistry
    function removeTrustedIssuer(string memory issuerId, bytes calldata context)
        external
        nonReentrant
        runPolicyWithContext(context)
    {
        bytes32 hash = keccak256(bytes(issuerId));
        if (!_issuers.remove(hash)) revert IssuerNotTrusted(hash);
        emit TrustedIssuerRemoved(hash, issuerId);
    }

    /// @inheritdoc ITrustedIssuerRegistry
    function isTrustedIssuer(string memory issuerId) external view returns (bool) {
        return _issuers.contains(keccak256(bytes(issuerId)));
    }

    /// @inheritdoc ITrustedIssuerRegistry
    function getTrustedIssuers() external view returns (bytes32[] memory) {
        return _issuers.values();
    }
}
