// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOptimismAnchorStateRegistry} from "../../contracts/interfaces/IOptimismAnchorStateRegistry.sol";
import {IOptimismDisputeGame} from "../../contracts/interfaces/IOptimismDisputeGame.sol";

/// @notice A game about one output root
contract StandInGame is IOptimismDisputeGame {
    bytes32 public immutable rootClaim;

    constructor(bytes32 claim) {
        rootClaim = claim;
    }
}

/// @notice A registry that vouches for the games that it is told to
contract StandInRegistry is IOptimismAnchorStateRegistry {
    mapping(IOptimismDisputeGame game => bool valid) public isGameClaimValid;

    function settle(IOptimismDisputeGame game, bool valid) external {
        isGameClaimValid[game] = valid;
    }
}
