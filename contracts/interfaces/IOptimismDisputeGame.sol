// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title The part of the OP stack's IDisputeGame that L1AnchorVerifier asks
/// @dev ABI of ethereum-optimism/optimism, packages/contracts-bedrock/interfaces/dispute/IDisputeGame.sol at commit
/// 3bfc87f8a84e84629acede78e229788e5abdfa26, whose `Claim` is a bytes32 of its own type.
interface IOptimismDisputeGame {
    /// @notice The output root that the game is about
    function rootClaim() external view returns (bytes32);
}
