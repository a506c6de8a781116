// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAuditAnchor} from "../../contracts/interfaces/IAuditAnchor.sol";
import {IL1AnchorVerifier} from "../../contracts/interfaces/IL1AnchorVerifier.sol";
import {AnchoredEntry} from "../../contracts/libraries/AnchoredEntry.sol";
import {Rfc9162} from "../../contracts/libraries/Rfc9162.sol";

/// @notice The tree library as functions that can be called from outside
contract TreeHarness {
    function isIncluded(bytes32 leafHash, uint64 index, uint64 size, bytes32[] calldata path, bytes32 root)
        external
        view
        returns (bool)
    {
        return Rfc9162.isIncluded(leafHash, index, size, path, root);
    }

    function isConsistent(uint64 first, bytes32 firstRoot, uint64 second, bytes32 secondRoot, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        return Rfc9162.isConsistent(first, firstRoot, second, secondRoot, proof);
    }

    function leafOf(bytes calldata entry) external pure returns (bytes32) {
        return Rfc9162.leafOf(entry);
    }
}

/// @notice A contract that lets through whoever shows an entry of an anchored log
contract EntryGate {
    function enter(IAuditAnchor anchors, bytes32 logId, AnchoredEntry.Proof calldata proof) external view {
        AnchoredEntry.requireIncluded(anchors, logId, proof);
    }

    function enterOnL1(IL1AnchorVerifier verifier, bytes32 logId, AnchoredEntry.Proof calldata proof) external view {
        AnchoredEntry.requireIncluded(verifier, logId, proof);
    }
}
