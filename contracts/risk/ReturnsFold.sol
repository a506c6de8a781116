// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title ReturnsFold
/// @notice The equation that the VaR circuit leaves to its verifier.
library ReturnsFold {
    uint256 internal constant SCALAR_FIELD =
        21888242871839275222246405745257275088548364400416034343698204186575808495617;

    /// @notice e = sum_n z^n price_n sum_w r^w R[w][n], modulo the scalar field.
    /// @dev Horner over the rows, newest first. A row's returns are biased by 2^23 to be unsigned (flipping the sign bit of
    /// a two's complement), and the bias' own fold is taken off at the end. Instruments go four at a time: a 254-bit sum
    /// and four reduced products stay below 2^256 (5 field orders are 0.95 * 2^256).
    /// @param prices one per instrument; their number is a multiple of 4
    /// @param returns_ 3 bytes a return, row by row, oldest day first
    /// @param r below the scalar field
    /// @param z below the scalar field
    function fold(uint256[] calldata prices, bytes calldata returns_, uint256 r, uint256 z)
        internal
        pure
        returns (uint256 e)
    {
        assembly ("memory-safe") {
            let count := prices.length
            let stride := mul(count, 3)
            let weights := mload(0x40) // scratch: weight_n = price_n z^n, kept only during this call
            let last := add(weights, mul(count, 32))
            let bias := 0
            {
                let power := 1
                let price := prices.offset
                for { let weight := weights } lt(weight, last) { weight := add(weight, 32) } {
                    let value := mulmod(calldataload(price), power, SCALAR_FIELD)
                    mstore(weight, value)
                    bias := addmod(bias, value, SCALAR_FIELD)
                    power := mulmod(power, z, SCALAR_FIELD)
                    price := add(price, 32)
                }
                bias := mulmod(bias, 0x800000, SCALAR_FIELD)
            }
            let signs := 0x8000008000008000008000000000000000000000000000000000000000000000
            let row := add(returns_.offset, returns_.length)
            for {} gt(row, returns_.offset) {} {
                row := sub(row, stride)
                // Start each row at minus the bias: what remains is the signed row
                let sum := addmod(mulmod(e, r, SCALAR_FIELD), sub(SCALAR_FIELD, bias), SCALAR_FIELD)
                let at := row
                for { let weight := weights } lt(weight, last) { weight := add(weight, 128) } {
                    let word := xor(calldataload(at), signs)
                    sum := add(sum, mulmod(shr(232, word), mload(weight), SCALAR_FIELD))
                    sum := add(sum, mulmod(and(shr(208, word), 0xffffff), mload(add(weight, 32)), SCALAR_FIELD))
                    sum := add(sum, mulmod(and(shr(184, word), 0xffffff), mload(add(weight, 64)), SCALAR_FIELD))
                    sum := add(sum, mulmod(and(shr(160, word), 0xffffff), mload(add(weight, 96)), SCALAR_FIELD))
                    sum := mod(sum, SCALAR_FIELD)
                    at := add(at, 12)
                }
                e := sum
            }
        }
    }
}
