// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Locks REFI; who locks more gets more of the trading fees back
/// @notice A stake lies in a vault of its own, so that its votes stay with its owner. Taking it out takes a request
/// and COOLDOWN: what waits for that counts for no tier, so that one stake cannot earn two wallets a rebate at once.
/// @dev Who may do what: anyone stakes, and takes out what is their own; the owner (the timelock) sets the tiers and
/// never touches a stake. To stop the rebates: tiers without a rebate. Nothing stops a withdrawal.
interface IStaking {
    /// @param threshold The smallest stake of the tier, 18 decimals
    /// @param rebateBps What of a fee is given back, in 1/10,000
    struct Tier {
        uint256 threshold;
        uint16 rebateBps;
    }

    /// @notice An amount of zero
    error NothingToMove();
    /// @notice More than is staked
    error StakeTooSmall(uint256 staked, uint256 amount);
    /// @notice Nothing waits, or not long enough yet
    error NotAvailable(uint256 pending, uint48 availableAt);
    /// @notice The account never staked: there is nothing to delegate
    error NoStake(address account);
    /// @notice Tiers rise in both, give back at most all of a fee, and there are at most MAX_TIERS
    error InvalidTier(uint256 position);

    /// @notice An account locked REFI
    event Staked(address indexed account, uint256 amount, uint256 staked);
    /// @notice An account asked for REFI back
    event UnstakeRequested(address indexed account, uint256 amount, uint256 staked, uint48 availableAt);
    /// @notice An account took REFI back
    event Withdrawn(address indexed account, uint256 amount);
    /// @notice An account got its vault
    event VaultOpened(address indexed account, address vault);
    /// @notice There are other tiers
    event TiersSet(Tier[] tiers);

    /// @notice Lock REFI that the contract may take (ERC-20 approval); the votes go to whom the account has named
    /// here, at first to itself
    function stake(uint256 amount) external;

    /// @notice Ask for REFI back: it counts no more, and can be taken after COOLDOWN; a second request starts the wait
    /// of all that waits afresh
    function requestUnstake(uint256 amount) external;

    /// @notice Take back all that has waited
    function withdraw() external;

    /// @notice Say who votes with the stake
    function delegateStake(address delegatee) external;

    /// @notice Set the tiers, the lowest first
    function setTiers(Tier[] calldata tiers) external;

    /// @notice What an account has locked and not asked back, 18 decimals
    function stakedOf(address account) external view returns (uint256);

    /// @notice What an account has asked back and when it can have it
    function pendingOf(address account) external view returns (uint256 amount, uint48 availableAt);

    /// @notice Where an account's stake lies, zero before it staked
    function vaultOf(address account) external view returns (address);

    /// @notice An account's tier: 0 for none, 1 for the lowest
    function tierOf(address account) external view returns (uint8);

    /// @notice What of its fees an account gets back, in 1/10,000
    function rebateOf(address account) external view returns (uint16);

    /// @notice The tiers, the lowest first
    function getTiers() external view returns (Tier[] memory);
}
