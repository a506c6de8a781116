// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Where an order meets the rules on chain
/// @notice `submitOrder` is the target of every order check: off chain by eth_call of the engine's `check` with this
/// contract as the caller, on chain by calling it.
/// @dev Guarded by the policy engine: senders, credentials, limits, pause, model. To stop it: pause its PausePolicy.
interface IOrderGate {
    /// @param account The wallet
    /// @param cumulative What it has traded off chain in all, USD x 1e6
    struct Settlement {
        address account;
        uint256 cumulative;
    }

    /// @param context See OrderContext
    struct OrderCheck {
        address account;
        bytes32 instrument;
        uint256 notional;
        bytes32 modelHash;
        bytes context;
    }

    /// @notice Settlements name each account once, in ascending order
    error SettlementsNotAscending(address account);
    /// @notice An account cannot have traded less than it had
    error CumulativeDecreased(address account, uint256 settled, uint256 cumulative);
    /// @notice A check ended without a word, as when its gas runs out; never raised, only returned by `checkOrders`
    error CheckFailed();

    /// @notice What an account has traded off chain is on chain up to `cumulative`
    event VolumeSettled(address indexed account, uint256 cumulative, uint256 added);
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

    /// @notice Put what accounts have traded off chain on chain, where rules over volumes count it; protected by the
    /// engine. The same settlement a second time changes nothing.
    function settleVolumes(Settlement[] calldata settlements) external;

    /// @notice What of an account's trades off chain is settled, USD x 1e6
    function settledOf(address account) external view returns (uint256);

    /// @notice Ask the engine about many orders in one call
    /// @param sender Who would submit them
    /// @return refusals One an order: empty where it passes, else what the engine's `check` reverts with, or CheckFailed
    function checkOrders(address sender, OrderCheck[] calldata orders) external view returns (bytes[] memory refusals);
}
