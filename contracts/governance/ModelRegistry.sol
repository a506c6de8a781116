// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @title Implements IModelRegistry, which says what it does, who may do it and how to stop it
contract ModelRegistry is IModelRegistry, Ownable {
    address public guardian;
    mapping(address account => bool) public isProposer;
    mapping(bytes32 modelHash => Model) private _models;

    constructor(address timelock, address initialGuardian, address[] memory proposers) Ownable(timelock) {
        _setGuardian(initialGuardian);
        for (uint256 i = 0; i < proposers.length; i++) {
            _setProposer(proposers[i], true);
        }
    }

    /// @inheritdoc IModelRegistry
    function propose(
        bytes32 modelHash,
        string calldata torchScriptCid,
        bytes32 featureSchemaHash,
        string calldata reportCid
    ) external {
        if (!isProposer[msg.sender]) revert NotProposer(msg.sender);
        if (modelHash == bytes32(0)) revert ZeroModelHash();
        State actual = _models[modelHash].state;
        if (actual != State.None) revert WrongState(modelHash, actual);
        _models[modelHash] = Model(State.Proposed, msg.sender, featureSchemaHash, torchScriptCid, reportCid);
        emit ModelProposed(modelHash, msg.sender, torchScriptCid, featureSchemaHash, reportCid);
    }

    /// @inheritdoc IModelRegistry
    function approve(bytes32 modelHash) external onlyOwner {
        State actual = _models[modelHash].state;
        if (actual != State.Proposed) revert WrongState(modelHash, actual);
        _models[modelHash].state = State.Approved;
        emit ModelApproved(modelHash);
    }

    /// @inheritdoc IModelRegistry
    function promote(bytes32 modelHash) external onlyOwner {
        State actual = _models[modelHash].state;
        if (actual != State.Approved && actual != State.Retired) revert WrongState(modelHash, actual);
        _models[modelHash].state = State.Production;
        emit ModelPromoted(modelHash);
    }

    /// @inheritdoc IModelRegistry
    function retire(bytes32 modelHash) external onlyOwner {
        State actual = _models[modelHash].state;
        if (actual != State.Production) revert WrongState(modelHash, actual);
        _models[modelHash].state = State.Retired;
        emit ModelRetired(modelHash);
    }

    /// @inheritdoc IModelRegistry
    function revoke(bytes32 modelHash) external {
        if (msg.sender != guardian) revert NotGuardian(msg.sender);
        State actual = _models[modelHash].state;
        if (actual == State.None || actual == State.Revoked) revert WrongState(modelHash, actual);
        _models[modelHash].state = State.Revoked;
        emit ModelRevoked(modelHash, msg.sender);
    }

    /// @inheritdoc IModelRegistry
    function setProposer(address account, bool allowed) external onlyOwner {
        _setProposer(account, allowed);
    }

    /// @inheritdoc IModelRegistry
    function setGuardian(address account) external onlyOwner {
        _setGuardian(account);
    }

    /// @inheritdoc IModelRegistry
    function stateOf(bytes32 modelHash) external view returns (State) {
        return _models[modelHash].state;
    }

    /// @inheritdoc IModelRegistry
    function isApproved(bytes32 modelHash) external view returns (bool) {
        return _models[modelHash].state == State.Production;
    }

    /// @inheritdoc IModelRegistry
    function modelOf(bytes32 modelHash) external view returns (Model memory) {
        return _models[modelHash];
    }

    function _setProposer(address account, bool allowed) private {
        isProposer[account] = allowed;
        emit ProposerSet(account, allowed);
    }

    function _setGuardian(address account) private {
        // Zero is a choice: nobody revokes.
        // slither-disable-next-line missing-zero-check
        guardian = account;
        emit GuardianSet(account);
    }
}
