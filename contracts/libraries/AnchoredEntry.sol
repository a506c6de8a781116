// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAuditAnchor} from "../interfaces/IAuditAnchor.sol";
import {IL1AnchorVerifier} from "../interfaces/IL1AnchorVerifier.sol";
import {Rfc9162} from "./Rfc9162.sol";

/// @title Lets a contract rely on an entry of an anchored audit log
/// @notice An entry is shown with its place in the tree and the head that was anchored. Nothing in a proof is trusted
/// but what leads to the anchor's stored word: on the L2 AuditAnchor's, on L1 the one that L1AnchorVerifier proved.
/// @dev A log id says which key, chain and AuditAnchor it belongs to; the caller must fix the ids that it trusts.
/// What the entry says is the caller's to read: canonical JSON of {"c", "t", "v"}.
library AnchoredEntry {
    /// @param anchorIndex Which of the log's anchors
    /// @param head What was anchored
    /// @param entry The entry's exact bytes
    /// @param leafIndex The entry's place in the log, from 0
    /// @param path RFC 9162 inclusion path, from the leaf upwards
    struct Proof {
        uint256 anchorIndex;
        IAuditAnchor.Head head;
        bytes entry;
        uint64 leafIndex;
        bytes32[] path;
    }

    /// @notice The head is not the one that was anchored there
    /// @param stored The anchor's word, zero where L1 knows none
    /// @param given The word that the head would have
    error NotAnchored(bytes32 logId, uint256 anchorIndex, bytes32 stored, bytes32 given);
    /// @notice The path does not lead from the entry at that place to the head's root
    error NotIncluded(bytes32 leafHash, uint64 leafIndex, uint64 size, bytes32 root);

    /// @notice Revert unless the entry is part of an anchor of AuditAnchor, on its own chain
    function requireIncluded(IAuditAnchor anchors, bytes32 logId, Proof calldata proof) internal view {
        requireIncluded(anchors.anchorAt(logId, proof.anchorIndex), logId, proof);
    }

    /// @notice Revert unless the entry is part of an anchor that was proven on L1
    function requireIncluded(IL1AnchorVerifier verifier, bytes32 logId, Proof calldata proof) internal view {
        requireIncluded(verifier.provenAt(logId, proof.anchorIndex), logId, proof);
    }

    /// @notice Revert unless the entry is part of the anchor with a stored word
    function requireIncluded(bytes32 stored, bytes32 logId, Proof calldata proof) internal view {
        bytes32 given = wordOf(logId, proof.anchorIndex, proof.head);
        if (stored != given) revert NotAnchored(logId, proof.anchorIndex, stored, given);
        bytes32 leafHash = Rfc9162.leafOf(proof.entry);
        (uint64 size, bytes32 root) = (proof.head.size, proof.head.root);
        if (!Rfc9162.isIncluded(leafHash, proof.leafIndex, size, proof.path, root)) {
            revert NotIncluded(leafHash, proof.leafIndex, size, root);
        }
    }

    /// @notice The word that an anchor stores: keccak256(abi.encode(logId, index, size, root, headsRoot))
    function wordOf(bytes32 logId, uint256 index, IAuditAnchor.Head calldata head) internal pure returns (bytes32) {
        return keccak256(abi.encode(logId, index, head));
    }
}
