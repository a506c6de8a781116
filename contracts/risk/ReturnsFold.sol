// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title ReturnsFold
/// @notice The equation that the VaR circuit leaves to its verifier.
library ReturnsFold {
    uint256 internal constant SCALAR_FIELD =
        21888242871839275222246405745257275088548364400416034343698204186575808495617;
    uint256 private constant BIAS = 1 << 23;

    /// @notice e = sum_n z^n price_n sum_w r^w R[w][n], modulo the scalar field.
    /// @dev Eight columns at a time, by Horner over their rows, newest first. Four things make it cheap, each exact:
    /// the eight weights price_n z^n stay on the stack; a row's eight returns are read as one word, and its right shifts
    /// v_j = u_j + 2^24 v_(j-1) are used unmasked, with weight_j - 2^24 weight_(j+1) in place of weight_j; returns are biased
    /// by 2^23 to be unsigned (flipping the sign bit of a two's complement), and the bias' own fold is taken off at the end;
    /// products, each below the field order, are added five at a time before a reduction (5 field orders are below 2^256).
    /// @param prices one per instrument; their number is a multiple of 4
    /// @param returns_ 3 bytes a return, row by row, oldest day first
    /// @param r below the scalar field
    /// @param z below the scalar field
    function fold(uint256[] calldata prices, bytes calldata returns_, uint256 r, uint256 z)
        internal
        pure
        returns (uint256 e)
    {
        (uint256 weights, uint256 total) = _weigh(prices, z);
        uint256 count = prices.length;
        uint256 stride = 3 * count;
        uint256 at;
        uint256 length;
        assembly ("memory-safe") {
            at := returns_.offset
            length := returns_.length
        }
        for (; count > 7; count -= 8) {
            e = addmod(e, _foldEight(weights, at, length, stride, r), SCALAR_FIELD);
            weights += 256;
            at += 24;
        }
        if (count != 0) e = addmod(e, _foldFour(weights, at, length, stride, r), SCALAR_FIELD);
        uint256 bias = mulmod(mulmod(total, BIAS, SCALAR_FIELD), _powers(r, length / stride), SCALAR_FIELD);
        e = addmod(e, SCALAR_FIELD - bias, SCALAR_FIELD);
    }

    /// @dev Writes weight_n - 2^24 weight_(n+1) (within eight) to memory; returns where, and the sum of the weight_n.
    function _weigh(uint256[] calldata prices, uint256 z) private pure returns (uint256 weights, uint256 total) {
        assembly ("memory-safe") {
            let field := SCALAR_FIELD
            let shifted := sub(field, 0x1000000)
            weights := mload(0x40)
            let power := 1
            let size := mul(prices.length, 32)
            mstore(0x40, add(weights, size))
            for { let place := 0 } lt(place, size) { place := add(place, 32) } {
                let weight := mulmod(calldataload(add(prices.offset, place)), power, field)
                let to := add(weights, place)
                mstore(to, weight)
                total := addmod(total, weight, field)
                power := mulmod(power, z, field)
                if and(place, 255) {
                    to := sub(to, 32)
                    mstore(to, addmod(mload(to), mulmod(weight, shifted, field), field))
                }
            }
        }
    }

    /// @dev 1 + r + ... + r^(count-1) for a count below 2^16, by doubling.
    function _powers(uint256 r, uint256 count) private pure returns (uint256 sum) {
        assembly ("memory-safe") {
            let field := SCALAR_FIELD
            let power := 1
            let bit := 0x80
            if gt(count, 255) { bit := 0x8000 }
            for {} bit { bit := shr(1, bit) } {
                sum := mulmod(sum, add(1, power), field)
                power := mulmod(power, power, field)
                if and(count, bit) {
                    sum := add(mulmod(sum, r, field), 1)
                    power := mulmod(power, r, field)
                }
            }
        }
    }

    function _foldEight(uint256 weights, uint256 at, uint256 length, uint256 stride, uint256 r)
        private
        pure
        returns (uint256 sum)
    {
        assembly ("memory-safe") {
            let row := add(at, length)
            let signs := 0x800000800000800000800000800000800000800000800000
            let w0 := mload(weights)
            let w1 := mload(add(weights, 32))
            let w2 := mload(add(weights, 64))
            let w3 := mload(add(weights, 96))
            let w4 := mload(add(weights, 128))
            let w5 := mload(add(weights, 160))
            let w6 := mload(add(weights, 192))
            let w7 := mload(add(weights, 224))
            // On the stack: as a literal the optimizer would copy it from code at every use
            let field := SCALAR_FIELD
            for {} iszero(eq(row, at)) {} {
                row := sub(row, stride)
                let word := xor(shr(64, calldataload(row)), signs)
                sum := add(
                    mulmod(word, w7, field),
                    add(
                        mulmod(shr(24, word), w6, field),
                        add(
                            mulmod(shr(48, word), w5, field),
                            add(
                                mulmod(shr(72, word), w4, field),
                                mod(
                                    add(
                                        mulmod(shr(96, word), w3, field),
                                        add(
                                            mulmod(shr(120, word), w2, field),
                                            add(
                                                mulmod(shr(144, word), w1, field),
                                                add(mulmod(shr(168, word), w0, field), mulmod(sum, r, field))
                                            )
                                        )
                                    ),
                                    field
                                )
                            )
                        )
                    )
                )
            }
        }
    }

    function _foldFour(uint256 weights, uint256 at, uint256 length, uint256 stride, uint256 r)
        private
        pure
        returns (uint256 sum)
    {
        assembly ("memory-safe") {
            let row := add(at, length)
            let signs := 0x800000800000800000800000
            let w0 := mload(weights)
            let w1 := mload(add(weights, 32))
            let w2 := mload(add(weights, 64))
            let w3 := mload(add(weights, 96))
            let field := SCALAR_FIELD
            for {} iszero(eq(row, at)) {} {
                row := sub(row, stride)
                let word := xor(shr(160, calldataload(row)), signs)
                sum := add(
                    mulmod(word, w3, field),
                    add(
                        mulmod(shr(24, word), w2, field),
                        add(
                            mulmod(shr(48, word), w1, field),
                            add(mulmod(shr(72, word), w0, field), mulmod(sum, r, field))
                        )
                    )
                )
            }
        }
    }
}
