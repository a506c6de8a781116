// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title ReturnsFold
/// @notice The equation that the VaR circuit leaves to its verifier.
library ReturnsFold {
    uint256 internal constant SCALAR_FIELD =
        21888242871839275222246405745257275088548364400416034343698204186575808495617;

    /// @notice e = sum_n z^n price_n sum_w r^w R[w][n], modulo the scalar field.
    /// @dev Horner over the rows, newest first. Three things make it cheap, each exact:
    /// returns are biased by 2^23 to be unsigned (flipping the sign bit of a two's complement), and the bias' own fold is
    /// taken off; eight returns are read as one word and its right shifts v_j = u_j + 2^24 v_(j-1) are folded unmasked,
    /// with weight_j - 2^24 weight_(j+1) in place of weight_j; products are added four at a time before a reduction
    /// (5 field orders are below 2^256).
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
            // On the stack: as a literal the optimizer would copy it from code at every use
            let field := SCALAR_FIELD
            let weights := mload(0x40) // scratch: weight_n = price_n z^n, kept only during this call
            let last := add(weights, mul(prices.length, 32))
            let bias := 0
            {
                let power := 1
                let price := prices.offset
                for { let weight := weights } lt(weight, last) { weight := add(weight, 32) } {
                    let value := mulmod(calldataload(price), power, field)
                    mstore(weight, value)
                    bias := addmod(bias, value, field)
                    power := mulmod(power, z, field)
                    price := add(price, 32)
                }
                bias := sub(field, mulmod(bias, 0x800000, field))
                // Within eight, weight_j -= 2^24 weight_(j+1)
                for { let weight := add(weights, 32) } lt(weight, last) { weight := add(weight, 32) } {
                    if and(sub(weight, weights), 255) {
                        let value := mulmod(mload(weight), sub(field, 0x1000000), field)
                        mstore(sub(weight, 32), addmod(mload(sub(weight, 32)), value, field))
                    }
                }
            }
            let signs := 0x800000800000800000800000800000800000800000800000
            let row := add(returns_.offset, returns_.length)
            for {} gt(row, returns_.offset) {} {
                row := sub(row, mul(prices.length, 3))
                // Start each row at minus the bias: what remains is the signed row
                e := addmod(mulmod(e, r, field), bias, field)
                let at := row
                let weight := weights
                // Eight at a time, unrolled: the loop itself costs as much as two instruments
                for {} lt(add(weight, 224), last) {} {
                    let word := xor(shr(64, calldataload(at)), signs)
                    e := mod(
                        add(
                            mulmod(shr(96, word), mload(add(weight, 96)), field),
                            add(
                                mulmod(shr(120, word), mload(add(weight, 64)), field),
                                add(
                                    mulmod(shr(144, word), mload(add(weight, 32)), field),
                                    add(mulmod(shr(168, word), mload(weight), field), e)
                                )
                            )
                        ),
                        field
                    )
                    e := mod(
                        add(
                            mulmod(word, mload(add(weight, 224)), field),
                            add(
                                mulmod(shr(24, word), mload(add(weight, 192)), field),
                                add(
                                    mulmod(shr(48, word), mload(add(weight, 160)), field),
                                    add(mulmod(shr(72, word), mload(add(weight, 128)), field), e)
                                )
                            )
                        ),
                        field
                    )
                    weight := add(weight, 256)
                    at := add(at, 24)
                }
                // Four may remain
                if lt(weight, last) {
                    let word := shr(96, xor(shr(64, calldataload(at)), signs))
                    e := mod(
                        add(
                            mulmod(word, mload(add(weight, 96)), field),
                            add(
                                mulmod(shr(24, word), mload(add(weight, 64)), field),
                                add(
                                    mulmod(shr(48, word), mload(add(weight, 32)), field),
                                    add(mulmod(shr(72, word), mload(weight), field), e)
                                )
                            )
                        ),
                        field
                    )
                }
            }
        }
    }
}
