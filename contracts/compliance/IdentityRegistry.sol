// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {PolicyProtected} from "./PolicyProtected.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";

/// @title Implements IIdentityRegistry, which says what it does, who may do it and how to stop it
contract IdentityRegistry is IIdentityRegistry, PolicyProtected {
    using EnumerableSet for EnumerableSet.AddressSet;

    mapping(address account => bytes32 ccid) private _identities;
    mapping(bytes32 ccid => EnumerableSet.AddressSet accounts) private _accounts;

    constructor(address initialOwner, address policyEngine) PolicyProtected(initialOwner, policyEngine) {}

    /// @inheritdoc IIdentityRegistry
    function typeAndVersion() external pure returns (string memory) {
        return "IdentityRegistry 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc IIdentityRegistry
    function registerIdentity(bytes32 ccid, address account, bytes calldata context)
        external
        nonReentrant
        runPolicyWithContext(context)
    {
        _register(ccid, account);
    }

    /// @inheritdoc IIdentityRegistry
    function registerIdentities(bytes32[] calldata ccids, address[] calldata accounts, bytes calldata context)
        external
        nonReentrant
        runPolicyWithContext(context)
    {
        if (ccids.length != accounts.length) revert InvalidIdentityConfiguration("Invalid input length");
        for (uint256 i = 0; i < ccids.length; i++) {
            _register(ccids[i], accounts[i]);
        }
    }

    /// @inheritdoc IIdentityRegistry
    function removeIdentity(bytes32 ccid, address account, bytes calldata context)
        external
        nonReentrant
        runPolicyWithContext(context)
    {
        if (ccid == bytes32(0) || _identities[account] != ccid) revert IdentityNotFound(ccid, account);
        delete _identities[account];
        // slither-disable-next-line unused-return
        _accounts[ccid].remove(account);
        emit IdentityRemoved(ccid, account);
    }

    /// @inheritdoc IIdentityRegistry
    function getIdentity(address account) external view returns (bytes32) {
        return _identities[account];
    }

    /// @inheritdoc IIdentityRegistry
    function getAccounts(bytes32 ccid) external view returns (address[] memory) {
        return _accounts[ccid].values();
    }

    function _register(bytes32 ccid, address account) private {
        if (ccid == bytes32(0)) revert InvalidIdentityConfiguration("CCID cannot be empty");
        if (account == address(0)) revert InvalidIdentityConfiguration("Account cannot be empty");
        if (_identities[account] != bytes32(0)) revert IdentityAlreadyRegistered(ccid, account);
        _identities[account] = ccid;
        // slither-disable-next-line unused-return
        _accounts[ccid].add(account);
        emit IdentityRegistered(ccid, account);
    }
}
