// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Moves limits by small steps without a vote
/// @notice A limit of a contract that names this one as its steward may move by at most a share of its present value, and
/// not before a delay since its last move. Whatever else there is to change stays the owner's.
/// @dev Owner (timelock): allows limits and names the steward. Steward: moves allowed limits.
/// To stop it: disallow, setSteward(address(0)), or take the role away in the limit's contract.
interface ILimitSteward {
    /// @param getter Reads the limit: no argument, one uint256
    /// @param maxChangeBps Largest change, in 1/10,000 of the present value
    /// @param minDelay Seconds between two changes
    /// @param changedAt Last change, or when the rule was made
    struct Rule {
        bytes4 getter;
        uint16 maxChangeBps;
        uint32 minDelay;
        uint48 changedAt;
    }

    /// @notice Somebody else than the steward calls
    error NotSteward(address caller);
    /// @notice A rule needs a contract, a change of 1 to 9,999 bps and a delay
    error InvalidRule(address target, uint16 maxChangeBps, uint32 minDelay);
    /// @notice The limit is not allowed to move
    error NotAllowed(address target, bytes4 setter);
    /// @notice The limit moved a short while ago
    error TooSoon(address target, bytes4 setter, uint256 notBefore);
    /// @notice The limit would move too far
    error ChangeTooLarge(uint256 present, uint256 value, uint256 most);
    /// @notice A getter or setter failed
    error CallFailed(address target, bytes4 selector, bytes reason);
    /// @notice The getter does not return what was set
    error NotTaken(address target, uint256 expected, uint256 actual);

    /// @notice Another steward, zero for none
    event StewardSet(address indexed steward);
    /// @notice A limit may move
    event Allowed(address indexed target, bytes4 indexed setter, bytes4 getter, uint16 maxChangeBps, uint32 minDelay);
    /// @notice A limit may not move any more
    event Disallowed(address indexed target, bytes4 indexed setter);
    /// @notice A limit moved
    event LimitChanged(address indexed target, bytes4 indexed setter, uint256 before, uint256 value);

    /// @notice Name the steward, zero for none. Owner only.
    function setSteward(address account) external;

    /// @notice Let a limit move, `minDelay` from now at the earliest; replaces its rule before. Owner only.
    function allow(address target, bytes4 getter, bytes4 setter, uint16 maxChangeBps, uint32 minDelay) external;

    /// @notice Let a limit not move any more. Owner only.
    function disallow(address target, bytes4 setter) external;

    /// @notice Move a limit. Steward only.
    function change(address target, bytes4 setter, uint256 value) external;

    /// @notice Who moves limits
    function steward() external view returns (address);

    /// @notice The limit's rule, all zero for none
    function ruleOf(address target, bytes4 setter) external view returns (Rule memory);
}
