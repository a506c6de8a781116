// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Merkle trees of RFC 9162 with SHA-256
library Rfc9162 {
    /// @notice Whether the tree (second, secondRoot) extends the tree (first, firstRoot)
    /// @dev RFC 9162 2.1.4.2, step by step; the case of equal trees has no proof and is the caller's.
    /// @param proof The consistency path
    function isConsistent(uint64 first, bytes32 firstRoot, uint64 second, bytes32 secondRoot, bytes32[] calldata proof)
        internal
        view
        returns (bool)
    {
        if (first == 0 || first >= second || proof.length == 0) return false;
        // Step 2: where first is a power of two its root starts the path.
        uint256 used = (first & (first - 1)) == 0 ? 0 : 1;
        bytes32 firstHash = used == 0 ? firstRoot : proof[0];
        bytes32 secondHash = firstHash;
        // Steps 3 and 4.
        uint256 fn = first - 1;
        uint256 sn = second - 1;
        while ((fn & 1) == 1) (fn, sn) = (fn >> 1, sn >> 1);
        // Step 6.
        for (; used < proof.length; used++) {
            if (sn == 0) return false;
            bytes32 sibling = proof[used];
            if ((fn & 1) == 1 || fn == sn) {
                firstHash = nodeOf(sibling, firstHash);
                secondHash = nodeOf(sibling, secondHash);
                while ((fn & 1) == 0 && fn != 0) (fn, sn) = (fn >> 1, sn >> 1);
            } else {
                secondHash = nodeOf(secondHash, sibling);
            }
            (fn, sn) = (fn >> 1, sn >> 1);
        }
        // Step 7.
        return sn == 0 && firstHash == firstRoot && secondHash == secondRoot;
    }

    /// @notice SHA-256(0x01 || left || right)
    function nodeOf(bytes32 left, bytes32 right) internal view returns (bytes32 hash) {
        bool success;
        // The free memory beyond the pointer serves as a buffer, so that a long proof does not grow memory.
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

    /// @notice The SHA-256 precompile did not answer
    error HashFailed();
}
