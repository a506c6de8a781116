// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IGroth16Verifier} from "../interfaces/IGroth16Verifier.sol";

/// @title Groth16Verifier
/// @notice Verifies Groth16 proofs over BN254 for the verifying key it was deployed with.
/// @dev The key lives in a data contract (its code, behind a STOP byte), so one bytecode serves every circuit. Key layout,
/// 64 bytes a G1 point and 128 a G2 point in EIP-197 order (imaginary part first): alpha1 beta2 gamma2 delta2 IC_0 .. IC_m.
/// Who may do what: anyone may verify; nobody can change or stop it. Which key is trusted is the policy's choice.
contract Groth16Verifier is IGroth16Verifier {
    uint256 private constant SCALAR_FIELD =
        21888242871839275222246405745257275088548364400416034343698204186575808495617;
    uint256 private constant BASE_FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583;
    uint256 private constant IC_OFFSET = 448;

    address private immutable KEY;
    uint256 private immutable INPUTS;

    /// @param key the verifying key
    constructor(bytes memory key) {
        if (key.length < IC_OFFSET + 64 || key.length % 64 != 0) revert KeyLength(key.length);
        _refuseForgeable(key);
        INPUTS = (key.length - IC_OFFSET) / 64 - 1;
        // Creation code that returns what follows its 11 bytes: PUSH3 size DUP1 PUSH1 11 PUSH0 CODECOPY PUSH0 RETURN
        bytes memory creation = abi.encodePacked(hex"62", uint24(key.length + 1), hex"80600b5f395ff3", hex"00", key);
        address data;
        assembly ("memory-safe") {
            data := create(0, add(creation, 32), mload(creation))
        }
        if (data == address(0)) revert KeyNotStored();
        KEY = data;
    }

    /// @inheritdoc IGroth16Verifier
    function verifyProof(uint256[8] calldata proof, uint256[] calldata publicInputs)
        external
        view
        returns (bool valid)
    {
        if (publicInputs.length != INPUTS) revert InputCount(INPUTS, publicInputs.length);
        address key = KEY;
        assembly ("memory-safe") {
            let count := publicInputs.length
            let size := add(IC_OFFSET, mul(64, add(count, 1)))
            // Memory, all free and thrown away: [vk | pairing input 768 | scratch 128]
            let vk := mload(0x40)
            extcodecopy(key, vk, 1, size)
            let pairing := add(vk, size)
            let scratch := add(pairing, 768)

            // vkX = IC_0 + sum_i input_i IC_(i+1), kept at scratch; the term is built at scratch + 64
            let ok := 1
            mcopy(scratch, add(vk, IC_OFFSET), 64)
            for { let i := 0 } lt(i, count) { i := add(i, 1) } {
                let scalar := calldataload(add(publicInputs.offset, mul(i, 32)))
                // An input + field order would verify like the input itself
                ok := and(ok, lt(scalar, SCALAR_FIELD))
                let term := add(scratch, 64)
                mcopy(term, add(vk, add(IC_OFFSET, mul(64, add(i, 1)))), 64)
                mstore(add(term, 64), scalar)
                ok := and(ok, staticcall(gas(), 7, term, 96, term, 64))
                ok := and(ok, staticcall(gas(), 6, scratch, 128, scratch, 64))
            }

            // e(-A, B) e(alpha, beta) e(vkX, gamma) e(C, delta) = 1
            calldatacopy(pairing, proof, 192)
            let y := mload(add(pairing, 32))
            ok := and(ok, lt(y, BASE_FIELD))
            mstore(add(pairing, 32), mod(sub(BASE_FIELD, y), BASE_FIELD))
            mcopy(add(pairing, 192), vk, 192)
            mcopy(add(pairing, 384), scratch, 64)
            mcopy(add(pairing, 448), add(vk, 192), 128)
            calldatacopy(add(pairing, 576), add(proof, 192), 64)
            mcopy(add(pairing, 640), add(vk, 320), 128)
            // EIP-197 fails on coordinates beyond the base field, points off the curve and outside the subgroup
            ok := and(ok, staticcall(gas(), 8, pairing, 768, scratch, 32))
            valid := and(ok, eq(mload(scratch), 1))
        }
    }

    /// @inheritdoc IGroth16Verifier
    function verifyingKey() external view returns (bytes memory key) {
        uint256 size = IC_OFFSET + 64 * (INPUTS + 1);
        key = new bytes(size);
        address data = KEY;
        assembly ("memory-safe") {
            extcodecopy(data, add(key, 32), 1, size)
        }
    }

    /// @dev With gamma = delta, gamma = -delta, either at infinity, or delta = the generator, anyone can prove anything: a
    /// key without a second phase, or worse. A point and its negative share the x that is compared.
    function _refuseForgeable(bytes memory key) private pure {
        bytes32 gamma;
        bytes32 delta;
        bool first; // alpha or beta at infinity: their pairing is gone from the equation
        assembly ("memory-safe") {
            let alpha := or(mload(add(key, 32)), mload(add(key, 64)))
            let beta := or(mload(add(key, 96)), mload(add(key, 128)))
            first := or(iszero(alpha), iszero(beta))
            gamma := keccak256(add(key, 224), 64)
            delta := keccak256(add(key, 352), 64)
        }
        // EIP-197: the x of G2's generator, and of the point at infinity
        bytes32 generator = keccak256(
            abi.encode(
                0x198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2,
                0x1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed
            )
        );
        bytes32 infinity = keccak256(new bytes(64));
        if (first || gamma == delta || gamma == infinity || delta == infinity || delta == generator) {
            revert ForgeableKey();
        }
    }
}
