// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Bounds an order by the age of its account
/// @notice An account is opened once, when it is opened, and its cap grows with the UTC days since; tiers marked so
/// demand a recorded review as well. An account that was not opened may not trade.
/// @dev Owner: sets tiers, registrar and reviewer. Registrar: opens accounts. Reviewer: records reviews; reviewer and
/// owner withdraw them. To stop everyone: one tier that nobody reaches; to stop openings: setRegistrar(address(0)).
interface IProgressiveCaps {
    /// @param fromDay UTC days since the account was opened
    /// @param cap Largest order, USD x 1e6
    /// @param reviewed Whether the account must have been reviewed
    struct Tier {
        uint16 fromDay;
        uint256 cap;
        bool reviewed;
    }

    /// @notice Tiers: 1 to 8, days and caps strictly ascending, caps below 2^128, none without a review after one with
    error InvalidTiers(uint256 position);
    /// @notice Somebody else than the registrar opens an account
    error NotRegistrar(address caller);
    /// @notice Somebody else than the reviewer records a review
    error NotReviewer(address caller);
    /// @notice The account was opened before
    error AlreadyOpened(address account, uint48 openedAt);
    /// @notice The account was not opened
    error NotOpened(address account);
    /// @notice A zero account or review
    error ZeroValue();

    /// @notice The tiers changed
    event TiersSet(Tier[] tiers);
    /// @notice Another account opens accounts, zero for none
    event RegistrarSet(address indexed registrar);
    /// @notice Another account records reviews, zero for none
    event ReviewerSet(address indexed reviewer);
    /// @notice An account was opened
    event AccountOpened(address indexed account, uint48 openedAt);
    /// @notice A review was recorded
    event ReviewRecorded(address indexed account, bytes32 indexed reviewHash);
    /// @notice A review does not count any more
    event ReviewWithdrawn(address indexed account, bytes32 indexed reviewHash);

    /// @notice Set the tiers. Owner only.
    function setTiers(Tier[] calldata tiers) external;

    /// @notice Name who opens accounts, zero for nobody. Owner only.
    function setRegistrar(address account) external;

    /// @notice Name who records reviews, zero for nobody. Owner only.
    function setReviewer(address account) external;

    /// @notice Open an account, now and once. Registrar only.
    function open(address account) external;

    /// @notice Record that an opened account was reviewed; a later review replaces it. Reviewer only.
    /// @param reviewHash What identifies the review off chain; nobody can read it from this
    function recordReview(address account, bytes32 reviewHash) external;

    /// @notice Take a review back. Reviewer or owner.
    function withdrawReview(address account) external;

    /// @notice Who opens accounts
    function registrar() external view returns (address);

    /// @notice Who records reviews
    function reviewer() external view returns (address);

    /// @notice The tiers, lowest first
    function getTiers() external view returns (Tier[] memory);

    /// @notice When the account was opened, zero for never
    function openedAt(address account) external view returns (uint48);

    /// @notice The account's review, zero for none
    function reviewOf(address account) external view returns (bytes32);

    /// @notice The account's largest order now, USD x 1e6; zero for an account that was not opened
    function capOf(address account) external view returns (uint256);
}
