// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOptimismDisputeGame} from "./IOptimismDisputeGame.sol";

/// @title The part of the OP stack's IAnchorStateRegistry that L1AnchorVerifier asks
/// @dev ABI of ethereum-optimism/optimism, packages/contracts-bedrock/interfaces/dispute/IAnchorStateRegistry.sol at
/// commit 0973cabbb40d232639c28a45c2b8300ccf835498.
interface IOptimismAnchorStateRegistry {
    /// @notice Whether a game's claim can be relied on: the chain's own factory made it, its type was the respected
    /// one, it is neither blacklisted nor retired, nothing is paused, and it was resolved for its claim and outlived
    /// the finality delay
    function isGameClaimValid(IOptimismDisputeGame game) external view returns (bool);
}
