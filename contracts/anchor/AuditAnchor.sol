// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAuditAnchor} from "../interfaces/IAuditAnchor.sol";
import {AnchoredEntry} from "../libraries/AnchoredEntry.sol";
import {Rfc9162} from "../libraries/Rfc9162.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @title Implements IAuditAnchor, which says what it does, who may do it and how to stop it
contract AuditAnchor is IAuditAnchor, Ownable {
    struct Log {
        uint64 count;
        bool isRegistered;
        bool isSucceeded;
    }

    mapping(bytes32 logId => Log) private _logs;
    mapping(bytes32 logId => bytes32 predecessor) public predecessorOf;
    mapping(bytes32 logId => bytes32 successor) public successorOf;
    mapping(bytes32 logId => mapping(uint256 index => bytes32 word)) private _anchors;
    mapping(bytes32 logId => mapping(address account => bool)) public isAnchorer;

    constructor(address initialOwner) Ownable(initialOwner) {}

    /// @inheritdoc IAuditAnchor
    function registerLog(string calldata origin, bytes32 publicKey, address[] calldata anchorers)
        external
        onlyOwner
        returns (bytes32 logId)
    {
        return _register(bytes32(0), origin, publicKey, anchorers);
    }

    /// @inheritdoc IAuditAnchor
    function registerSuccessor(
        bytes32 predecessor,
        string calldata origin,
        bytes32 publicKey,
        address[] calldata anchorers
    ) external onlyOwner returns (bytes32 logId) {
        _requireOpen(predecessor);
        logId = _register(predecessor, origin, publicKey, anchorers);
        _logs[predecessor].isSucceeded = true;
        successorOf[predecessor] = logId;
        predecessorOf[logId] = predecessor;
    }

    /// @inheritdoc IAuditAnchor
    function setAnchorer(bytes32 logId, address account, bool allowed) external onlyOwner {
        _requireRegistered(logId);
        _setAnchorer(logId, account, allowed);
    }

    /// @inheritdoc IAuditAnchor
    function anchor(bytes32 logId, Head calldata previous, Head calldata next, bytes32[] calldata proof) external {
        if (!isAnchorer[logId][msg.sender]) revert NotAnchorer(logId, msg.sender);
        uint256 index = _requireOpen(logId);
        bool isFirst = _requirePrevious(logId, index, previous);
        (uint64 size, uint64 nextSize) = (previous.size, next.size);
        if (nextSize <= size) revert SizeNotRising(size, nextSize);
        bool isExtension =
            isFirst ? proof.length == 0 : Rfc9162.isConsistent(size, previous.root, nextSize, next.root, proof);
        if (!isExtension) revert Inconsistent(size, nextSize);
        _anchors[logId][index] = AnchoredEntry.wordOf(logId, index, next);
        _logs[logId].count = uint64(index + 1);
        emit Anchored(logId, index, nextSize, next.root, next.headsRoot);
    }

    /// @inheritdoc IAuditAnchor
    function anchorAt(bytes32 logId, uint256 index) external view returns (bytes32) {
        if (index >= _logs[logId].count) revert UnknownAnchor(logId, index);
        return _anchors[logId][index];
    }

    /// @inheritdoc IAuditAnchor
    function anchorCount(bytes32 logId) external view returns (uint256) {
        return _logs[logId].count;
    }

    function _register(bytes32 predecessor, string calldata origin, bytes32 publicKey, address[] calldata anchorers)
        private
        returns (bytes32 logId)
    {
        logId = keccak256(abi.encode(origin, publicKey, block.chainid, address(this)));
        if (_logs[logId].isRegistered) revert LogExists(logId);
        _logs[logId].isRegistered = true;
        emit LogRegistered(logId, predecessor, origin, publicKey);
        for (uint256 i = 0; i < anchorers.length; i++) {
            _setAnchorer(logId, anchorers[i], true);
        }
    }

    function _setAnchorer(bytes32 logId, address account, bool allowed) private {
        isAnchorer[logId][account] = allowed;
        emit AnchorerSet(logId, account, allowed);
    }

    function _requireRegistered(bytes32 logId) private view {
        if (!_logs[logId].isRegistered) revert UnknownLog(logId);
    }

    function _requireOpen(bytes32 logId) private view returns (uint256 count) {
        Log memory log = _logs[logId];
        if (!log.isRegistered) revert UnknownLog(logId);
        if (log.isSucceeded) revert LogSucceeded(logId, successorOf[logId]);
        return log.count;
    }

    /// @dev Holds `previous` against the anchor that the next one must extend: the log's own last or, for the first
    /// one, the last of the nearest predecessor that has any. Where there is none, `previous` must be zero.
    function _requirePrevious(bytes32 logId, uint256 count, Head calldata previous)
        private
        view
        returns (bool isFirst)
    {
        bytes32 holder = logId;
        while (count == 0) {
            holder = predecessorOf[holder];
            if (holder == bytes32(0)) {
                _requireEqual(keccak256(new bytes(96)), keccak256(abi.encode(previous)));
                return true;
            }
            count = _logs[holder].count;
        }
        uint256 last;
        unchecked {
            last = count - 1;
        }
        _requireEqual(_anchors[holder][last], AnchoredEntry.wordOf(holder, last, previous));
        return false;
    }

    function _requireEqual(bytes32 expected, bytes32 actual) private pure {
        if (expected != actual) revert WrongPrevious(expected, actual);
    }
}
