// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAuditAnchor} from "../../contracts/interfaces/IAuditAnchor.sol";
import {IL1AnchorVerifier} from "../../contracts/interfaces/IL1AnchorVerifier.sol";
import {AnchoredEntry} from "../../contracts/libraries/AnchoredEntry.sol";
import {Rfc9162} from "../../contracts/libraries/Rfc9162.sol";
import {ReturnsFold} from "../../contracts/risk/ReturnsFold.sol";

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

/// @notice The fold as a function that can be called from outside, and the same by the definition
contract FoldHarness {
    function fold(uint256[] calldata prices, bytes calldata returns_, uint256 r, uint256 z)
        external
        pure
        returns (uint256)
    {
        return ReturnsFold.fold(prices, returns_, r, z);
    }

    function gasOf(uint256[] calldata prices, bytes calldata returns_, uint256 r, uint256 z)
        external
        view
        returns (uint256)
    {
        uint256 before = gasleft();
        ReturnsFold.fold(prices, returns_, r, z);
        return before - gasleft();
    }

    function naive(uint256[] calldata prices, bytes calldata returns_, uint256 r, uint256 z)
        external
        pure
        returns (uint256 e)
    {
        uint256 field = ReturnsFold.SCALAR_FIELD;
        uint256 count = prices.length;
        uint256 zn = 1;
        for (uint256 n = 0; n < count; ++n) {
            uint256 column = 0;
            for (uint256 row = returns_.length / (3 * count); row > 0; --row) {
                uint24 word = uint24(bytes3(returns_[3 * ((row - 1) * count + n):]));
                uint256 unit = word < 0x800000 ? word : field - (0x1000000 - word);
                column = addmod(mulmod(column, r, field), unit, field);
            }
            e = addmod(e, mulmod(zn, mulmod(prices[n], column, field), field), field);
            zn = mulmod(zn, z, field);
        }
    }
}
