// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICredentialRegistry} from "../interfaces/ICredentialRegistry.sol";
import {ICredentialValidator} from "../interfaces/ICredentialValidator.sol";
import {PolicyProtected} from "./PolicyProtected.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";

/// @title Implements ICredentialRegistry, which says what it does, who may do it and how to stop it
contract CredentialRegistry is ICredentialRegistry, PolicyProtected {
    using EnumerableSet for EnumerableSet.Bytes32Set;

    mapping(bytes32 ccid => EnumerableSet.Bytes32Set types) private _types;
    mapping(bytes32 ccid => mapping(bytes32 credentialTypeId => Credential)) private _credentials;

    constructor(address initialOwner, address policyEngine) PolicyProtected(initialOwner, policyEngine) {}

    /// @inheritdoc ICredentialRegistry
    function typeAndVersion() external pure returns (string memory) {
        return "CredentialRegistry 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc ICredentialRegistry
    function registerCredential(
        bytes32 ccid,
        bytes32 credentialTypeId,
        uint40 expiresAt,
        bytes calldata credentialData,
        bytes calldata context
    ) external nonReentrant runPolicyWithContext(context) {
        _register(ccid, credentialTypeId, expiresAt, credentialData);
    }

    /// @inheritdoc ICredentialRegistry
    function registerCredentials(
        bytes32 ccid,
        bytes32[] calldata credentialTypeIds,
        uint40 expiresAt,
        bytes[] calldata credentialDatas,
        bytes calldata context
    ) external nonReentrant runPolicyWithContext(context) {
        if (credentialTypeIds.length != credentialDatas.length) {
            revert InvalidCredentialConfiguration("Invalid input length");
        }
        for (uint256 i = 0; i < credentialTypeIds.length; i++) {
            _register(ccid, credentialTypeIds[i], expiresAt, credentialDatas[i]);
        }
    }

    /// @inheritdoc ICredentialRegistry
    function removeCredential(bytes32 ccid, bytes32 credentialTypeId, bytes calldata context)
        external
        nonReentrant
        runPolicyWithContext(context)
    {
        _requireFound(ccid, credentialTypeId);
        delete _credentials[ccid][credentialTypeId];
        // slither-disable-next-line unused-return
        _types[ccid].remove(credentialTypeId);
        emit CredentialRemoved(ccid, credentialTypeId);
    }

    /// @inheritdoc ICredentialRegistry
    function renewCredential(bytes32 ccid, bytes32 credentialTypeId, uint40 expiresAt, bytes calldata context)
        external
        nonReentrant
        runPolicyWithContext(context)
    {
        _requireFound(ccid, credentialTypeId);
        if (_isPast(expiresAt)) revert InvalidCredentialConfiguration("Invalid expiration time");
        Credential storage credential = _credentials[ccid][credentialTypeId];
        emit CredentialRenewed(ccid, credentialTypeId, credential.expiresAt, expiresAt);
        credential.expiresAt = expiresAt;
    }

    /// @inheritdoc ICredentialValidator
    function validateAll(bytes32 ccid, bytes32[] calldata credentialTypeIds, bytes calldata)
        external
        view
        returns (bool)
    {
        for (uint256 i = 0; i < credentialTypeIds.length; i++) {
            if (!_holds(ccid, credentialTypeIds[i])) return false;
        }
        return true;
    }

    /// @inheritdoc ICredentialValidator
    function validate(bytes32 ccid, bytes32 credentialTypeId, bytes calldata) external view returns (bool) {
        return _holds(ccid, credentialTypeId);
    }

    /// @inheritdoc ICredentialRegistry
    function isCredentialExpired(bytes32 ccid, bytes32 credentialTypeId) external view returns (bool) {
        _requireFound(ccid, credentialTypeId);
        return _isPast(_credentials[ccid][credentialTypeId].expiresAt);
    }

    /// @inheritdoc ICredentialRegistry
    function getCredentialTypes(bytes32 ccid) external view returns (bytes32[] memory) {
        return _types[ccid].values();
    }

    /// @inheritdoc ICredentialRegistry
    function getCredentials(bytes32 ccid, bytes32[] calldata credentialTypeIds)
        external
        view
        returns (Credential[] memory credentials)
    {
        credentials = new Credential[](credentialTypeIds.length);
        for (uint256 i = 0; i < credentialTypeIds.length; i++) {
            credentials[i] = getCredential(ccid, credentialTypeIds[i]);
        }
    }

    /// @inheritdoc ICredentialRegistry
    function getCredential(bytes32 ccid, bytes32 credentialTypeId) public view returns (Credential memory) {
        _requireFound(ccid, credentialTypeId);
        return _credentials[ccid][credentialTypeId];
    }

    function _register(bytes32 ccid, bytes32 credentialTypeId, uint40 expiresAt, bytes calldata credentialData)
        private
    {
        if (ccid == bytes32(0) || credentialTypeId == bytes32(0)) {
            revert InvalidCredentialConfiguration("Identity and type cannot be empty");
        }
        if (_isPast(expiresAt)) revert InvalidCredentialConfiguration("Invalid expiration time");
        if (!_types[ccid].add(credentialTypeId)) revert CredentialAlreadyRegistered(ccid, credentialTypeId);
        _credentials[ccid][credentialTypeId] = Credential(expiresAt, credentialData);
        emit CredentialRegistered(ccid, credentialTypeId, expiresAt, credentialData);
    }

    function _holds(bytes32 ccid, bytes32 credentialTypeId) private view returns (bool) {
        return _types[ccid].contains(credentialTypeId) && !_isPast(_credentials[ccid][credentialTypeId].expiresAt);
    }

    function _requireFound(bytes32 ccid, bytes32 credentialTypeId) private view {
        if (!_types[ccid].contains(credentialTypeId)) revert CredentialNotFound(ccid, credentialTypeId);
    }

    function _isPast(uint40 expiresAt) private view returns (bool) {
        // Credentials end by the block's clock; a sequencer's seconds do not matter for terms of days.
        return expiresAt != 0 && expiresAt <= block.timestamp;
    }
}
