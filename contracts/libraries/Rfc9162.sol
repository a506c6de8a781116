// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Merkle trees of RFC 9162 with SHA-256
/// @dev The loops hash in the free memory beyond the pointer, which stays where it is: a long proof does not grow
/// memory. All numbers are below 2^64, and a path is walked in whole words of calldata, so nothing overflows.
library Rfc9162 {
    /// @notice The SHA-256 precompile did not answer
    error HashFailed();

    /// @notice Whether the tree (size, root) holds the leaf at an index
    /// @dev RFC 9162 2.1.3.2, step by step.
    /// @param leafHash The leaf's hash. It must be `leafOf` an entry that the caller has: any node passes for a leaf.
    /// @param index The leaf's place, from 0
    /// @param path The inclusion path, from the leaf upwards
    function isIncluded(bytes32 leafHash, uint64 index, uint64 size, bytes32[] calldata path, bytes32 root)
        internal
        view
        returns (bool)
    {
        // Step 1. A path of more than 64 nodes belongs to no such tree, and step 4 runs out of levels.
        if (index >= size) return false;
        // Step 2.
        (uint256 fn, uint256 sn) = (index, size - 1);
        // Step 3.
        bytes32 hash = leafHash;
        // Step 4.
        for (uint256 i = 0; i < path.length;) {
            if (sn == 0) return false;
            if (fn & 1 == 1 || fn == sn) {
                hash = nodeOf(path[i], hash);
                while (fn & 1 == 0 && fn != 0) (fn, sn) = (fn >> 1, sn >> 1);
            } else {
                hash = nodeOf(hash, path[i]);
            }
            (fn, sn) = (fn >> 1, sn >> 1);
            unchecked {
                ++i;
            }
        }
        // Step 5.
        return sn == 0 && hash == root;
    }

    /// @notice Whether the tree (second, secondRoot) extends the tree (first, firstRoot)
    /// @dev RFC 9162 2.1.4.2, step by step; the case of equal trees has no proof and is the caller's.
    /// @param proof The consistency path
    function isConsistent(uint64 first, bytes32 firstRoot, uint64 second, bytes32 secondRoot, bytes32[] calldata proof)
        internal
        view
        returns (bool)
    {
        if (first == 0 || first >= second || proof.length == 0) return false;
        unchecked {
            // Step 2: where first is a power of two its root starts the path.
            uint256 fn = first;
            uint256 sn = second;
            bool isPower = fn & (fn - 1) == 0;
            // Steps 3 and 4.
            (fn, sn) = (fn - 1, sn - 1);
            while (fn & 1 == 1) (fn, sn) = (fn >> 1, sn >> 1);
            // Steps 6 and 7.
            (bytes32 firstHash, bytes32 secondHash, bool isWhole) =
                isPower ? _walk(fn, sn, firstRoot, proof) : _walk(fn, sn, proof[0], proof[1:]);
            return isWhole && firstHash == firstRoot && secondHash == secondRoot;
        }
    }

    /// @notice SHA-256(0x00 || entry)
    function leafOf(bytes memory entry) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x00), entry));
    }

    /// @notice SHA-256(0x01 || left || right)
    function nodeOf(bytes32 left, bytes32 right) internal view returns (bytes32 hash) {
        bool success;
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore8(buffer, 0x01)
            mstore(add(buffer, 1), left)
            mstore(add(buffer, 33), right)
            success := staticcall(gas(), 2, buffer, 65, 0, 32)
            success := and(success, eq(returndatasize(), 32))
            hash := mload(0)
        }
        // An out-of-gas in the precompile must not pass for a hash.
        if (!success) revert HashFailed();
    }

    /// @dev Step 6 of a consistency proof: from one node to what it says that both roots are. In assembly, because a
    /// large log pays for every turn with each anchor. Where fn has become sn, all siblings that are left are left
    /// ones, as many as sn has bits set: the levels that the RFC skips are those without a sibling. Turns are counted
    /// by the sizes (at most 64), never by the path, and the path must have been as long as that.
    /// @param fn The node's place in its level, at most sn
    /// @param sn The place of the last node in that level
    /// @return firstHash The smaller tree's root
    /// @return secondHash The larger tree's root
    /// @return isWhole Whether the path has exactly the nodes that the sizes ask for
    function _walk(uint256 fn, uint256 sn, bytes32 start, bytes32[] calldata path)
        private
        view
        returns (bytes32 firstHash, bytes32 secondHash, bool isWhole)
    {
        bool success;
        assembly ("memory-safe") {
            // Two buffers of 0x01 || left || right; every hash is written to where it will be a right child.
            let first := mload(0x40)
            let second := add(first, 96)
            mstore8(first, 0x01)
            mstore8(second, 0x01)
            mstore(add(first, 33), start)
            mstore(add(second, 33), start)
            // All answers have 32 bytes; a call that fails has none.
            let answered := 32
            let node := path.offset
            for {} xor(fn, sn) {} {
                switch and(fn, 1)
                case 0 {
                    // A right sibling, which the smaller tree does not have.
                    mstore(add(second, 1), mload(add(second, 33)))
                    mstore(add(second, 33), calldataload(node))
                }
                default {
                    // A left sibling, which both trees have.
                    mstore(add(first, 1), calldataload(node))
                    mstore(add(second, 1), calldataload(node))
                    pop(staticcall(gas(), 2, first, 65, add(first, 33), 32))
                    answered := and(answered, returndatasize())
                }
                pop(staticcall(gas(), 2, second, 65, add(second, 33), 32))
                answered := and(answered, returndatasize())
                fn := shr(1, fn)
                sn := shr(1, sn)
                node := add(node, 32)
            }
            for {} sn { sn := and(sn, sub(sn, 1)) } {
                mstore(add(first, 1), calldataload(node))
                mstore(add(second, 1), calldataload(node))
                pop(staticcall(gas(), 2, first, 65, add(first, 33), 32))
                answered := and(answered, returndatasize())
                pop(staticcall(gas(), 2, second, 65, add(second, 33), 32))
                answered := and(answered, returndatasize())
                node := add(node, 32)
            }
            firstHash := mload(add(first, 33))
            secondHash := mload(add(second, 33))
            isWhole := eq(node, add(path.offset, shl(5, path.length)))
            success := answered
        }
        // An out-of-gas in the precompile must not pass for a hash.
        if (!success) revert HashFailed();
    }
}
