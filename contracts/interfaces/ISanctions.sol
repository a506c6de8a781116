// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Refuses accounts that a sanctions list names
/// @dev Owner: names the lister. Lister: puts accounts on and takes them off. To stop the lister: setLister(address(0)).
interface ISanctions {
    /// @notice Somebody else than the lister calls
    error NotLister(address caller);
    /// @notice A list has a hash; without one nothing would be listed
    error ZeroListHash();
    /// @notice The account is not listed
    error NotListed(address account);

    /// @notice Another account keeps the list, zero for none
    event ListerSet(address indexed lister);
    /// @notice The account is on the list whose bytes have this hash
    event Listed(address indexed account, bytes32 indexed listHash);
    /// @notice The account is not listed any more
    event Unlisted(address indexed account, bytes32 indexed listHash);

    /// @notice Name who keeps the list, zero for nobody. Owner only.
    function setLister(address account) external;

    /// @notice Put an account on the list, or note a newer list that names it. Lister only.
    /// @param listHash Hash of the list that names it
    function list(address account, bytes32 listHash) external;

    /// @notice Take an account off. Lister only.
    function unlist(address account) external;

    /// @notice Who keeps the list
    function lister() external view returns (address);

    /// @notice Hash of the list that names the account, zero for none
    function listedOf(address account) external view returns (bytes32);
}
