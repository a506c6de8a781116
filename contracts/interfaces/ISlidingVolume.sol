// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Bounds what an account trades within any window of time
/// @notice The window slides with the clock: what was recorded later than `now - window` counts, so that no span of that
/// length holds more than the limit. Trades off chain count from their settlement on, and before it by the order's
/// context (see OrderContext), so that they count for longer, never for less.
/// What was recorded is announced by the protected contract (OrderSubmitted, VolumeSettled), not twice.
/// @dev Serves one engine and one protected contract: the first that a call of passes binds it, others are refused.
/// Owner: sets limit, window and steward. Steward: sets the limit. To stop everyone: a limit of zero.
interface ISlidingVolume {
    /// @notice Windows are 1 to 2^32 - 1 seconds long
    error InvalidWindow(uint256 window);
    /// @notice Limits fit into 64 bits: 18 trillion USD
    error LimitTooLarge(uint256 limit);
    /// @notice The policy counts for another protected contract
    error ServesAnother(address subject);

    /// @notice The policy counts for this protected contract from now on
    event Bound(address indexed subject);
    /// @notice The limit changed
    event LimitSet(uint256 limit);
    /// @notice The window changed
    event WindowSet(uint48 window);

    /// @notice Set the limit, USD x 1e6. Owner or steward.
    function setLimit(uint256 limit) external;

    /// @notice Set the window, in seconds; what was recorded before counts in it. Owner only.
    function setWindow(uint48 window) external;

    /// @notice The protected contract that the policy counts for, zero before the first call
    function boundTo() external view returns (address);

    /// @notice The limit, USD x 1e6; a sum equal to it passes
    function getLimit() external view returns (uint256);

    /// @notice The window, in seconds
    function getWindow() external view returns (uint48);

    /// @notice What was recorded for the account within the window that ends now, USD x 1e6
    function volumeOf(address account) external view returns (uint256);

    /// @notice What was ever recorded for the account, USD x 1e6
    function recordedOf(address account) external view returns (uint256);

    /// @notice When volume was recorded for the account first, zero for never
    function firstVolumeAt(address account) external view returns (uint48);
}
