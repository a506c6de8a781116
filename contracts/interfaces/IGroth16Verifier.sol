// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title IGroth16Verifier
/// @notice Verifies Groth16 proofs over BN254 against one verifying key.
interface IGroth16Verifier {
    error KeyLength(uint256 length);
    error KeyNotStored();
    error ForgeableKey();
    error InputCount(uint256 expected, uint256 given);

    /// @notice Whether the proof holds for the public inputs. Inputs at or above the field order, and points that are not
    /// on their curve, make it false.
    /// @param proof A.x A.y B.x1 B.x0 B.y1 B.y0 C.x C.y (EIP-197 order)
    function verifyProof(uint256[8] calldata proof, uint256[] calldata publicInputs) external view returns (bool valid);

    /// @notice alpha1 beta2 gamma2 delta2 IC_0 .. IC_m, packed; its keccak256 is what a policy pins.
    function verifyingKey() external view returns (bytes memory key);
}
