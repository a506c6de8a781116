// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice Trees of RFC 9162 by their recursive definition (2.1.1, 2.1.3.1 and 2.1.4.1), to hold the iterative one against
library Trees {
    function leaf(uint256 index) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x00), index));
    }

    /// @notice Root over the leaves from `start` up to `end`
    function root(uint256 start, uint256 end) internal pure returns (bytes32) {
        if (end - start == 1) return leaf(start);
        uint256 split = start + splitOf(end - start);
        return sha256(abi.encodePacked(bytes1(0x01), root(start, split), root(split, end)));
    }

    /// @notice Consistency proof from `size` to `end` leaves
    function consistency(uint256 size, uint256 end) internal pure returns (bytes32[] memory) {
        return subProof(size, 0, end, true);
    }

    /// @notice Inclusion path of a leaf in the tree over the leaves from `start` up to `end`, from the leaf upwards
    function inclusion(uint256 index, uint256 start, uint256 end) internal pure returns (bytes32[] memory) {
        if (end - start == 1) return new bytes32[](0);
        uint256 split = start + splitOf(end - start);
        return index < split
            ? append(inclusion(index, start, split), root(split, end))
            : append(inclusion(index, split, end), root(start, split));
    }

    function subProof(uint256 size, uint256 start, uint256 end, bool isWhole) private pure returns (bytes32[] memory) {
        if (size == end - start) {
            bytes32[] memory own = new bytes32[](isWhole ? 0 : 1);
            if (!isWhole) own[0] = root(start, end);
            return own;
        }
        uint256 split = splitOf(end - start);
        if (size <= split) {
            return append(subProof(size, start, start + split, isWhole), root(start + split, end));
        }
        return append(subProof(size - split, start + split, end, false), root(start, start + split));
    }

    function append(bytes32[] memory list, bytes32 last) internal pure returns (bytes32[] memory longer) {
        longer = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; i++) {
            longer[i] = list[i];
        }
        longer[list.length] = last;
    }

    function splitOf(uint256 size) private pure returns (uint256 split) {
        split = 1;
        while (split * 2 < size) split *= 2;
    }
}
