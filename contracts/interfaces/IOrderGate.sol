// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Where an order meets the rules on chain
/// @notice `submitOrder` is the target of every order check: off chain by eth_call of the engine's `check` with this
/// contract as the caller, on chain by calling it.
/// @dev Guarded by the policy engine: senders, credentials, limits, pause, model. To stop it: pause its PausePolicy.
interface IOrderGate {
    /// @notice An order passed every rule
    event OrderSubmitted(
        address indexed account, bytes32 indexed instrument, bytes32 indexed modelHash, uint256 notional, address relay
    );

    /// @notice Put an order before the rules; refused ones revert with IPolicyEngine.PolicyRunRejected
    /// @param account The wallet that trades
    /// @param instrument The ticker in ASCII, padded with zeros on the right
    /// @param notional Size in USD x 1e6
    /// @param modelHash SHA-256 of the model that decided, zero where a person did
    function submitOrder(address account, bytes32 instrument, uint256 notional, bytes32 modelHash) external;
}
