// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title IReturnsOracle
/// @notice One immutable price-and-returns matrix per (universe, epoch), published before any proof for that epoch.
/// @dev A matrix is `prices` (one closing price per instrument, scale 1e-4 USD, below 2^32) and `returns_` (window rows,
/// oldest day first, one signed 24-bit big-endian return per instrument in universe order, scale 1e-6).
/// Owner: registers universes, names publishers. Publisher: publishes once per (universe, epoch), or countersigns what
/// another publisher published. Nobody can replace or delete a matrix. To stop it: take the publishers' role away.
interface IReturnsOracle {
    /// @notice An ordered list of instruments and the number of daily returns a matrix of it holds.
    struct Universe {
        uint16 instruments;
        uint16 window;
    }

    /// @notice A universe was registered.
    event UniverseRegistered(bytes32 indexed universeId, bytes32[] instruments, uint16 window);
    /// @notice A publisher was named (`allowed`) or removed.
    event PublisherSet(address indexed publisher, bool allowed);
    /// @notice A matrix was published; the matrix itself is this call's calldata.
    event Published(bytes32 indexed universeId, uint64 indexed epoch, bytes32 indexed returnsId, address publisher);

    /// @notice A second publisher stands by a published matrix.
    event Countersigned(bytes32 indexed universeId, uint64 indexed epoch, bytes32 indexed returnsId, address publisher);

    error NotPublisher(address caller);
    error NotPublished(bytes32 universeId, uint64 epoch);
    error OtherPublished(bytes32 published, bytes32 given);
    error OwnMatrix(address publisher);
    error AlreadyCountersigned(bytes32 universeId, uint64 epoch);
    error UniverseIdMismatch(bytes32 expected, bytes32 given);
    error UniverseExists(bytes32 universeId);
    error UniverseUnknown(bytes32 universeId);
    error UniverseShape(uint256 instruments, uint256 window);
    error AlreadyPublished(bytes32 universeId, uint64 epoch, bytes32 returnsId);
    error PriceCount(uint256 expected, uint256 given);
    error ReturnsLength(uint256 expected, uint256 given);
    error PriceOutOfRange(uint256 index, uint256 price);

    /// @notice Register a universe; `universeId` must be keccak256(abi.encode(instruments)). Owner only.
    /// @dev Once, with one window: the same instruments over another window are registered in another order.
    function registerUniverse(bytes32 universeId, bytes32[] calldata instruments, uint16 window) external;

    /// @notice Grant or take the publisher's role. Owner only.
    function setPublisher(address publisher, bool allowed) external;

    /// @notice Fix the matrix of (universeId, epoch) for ever. Publisher only.
    /// @dev Any epoch, also one to come: what a publisher fixes wrongly stays, and only another universe leaves it behind.
    /// @return returnsId keccak256(abi.encode(universeId, epoch, prices, returns_))
    function publish(bytes32 universeId, uint64 epoch, uint256[] calldata prices, bytes calldata returns_)
        external
        returns (bytes32 returnsId);

    /// @notice Stand by the matrix that another publisher published, once: `returnsId` must be its id. Publisher only.
    function countersign(bytes32 universeId, uint64 epoch, bytes32 returnsId) external;

    /// @notice The matrix's id, zero while unpublished.
    function returnsIdOf(bytes32 universeId, uint64 epoch) external view returns (bytes32);

    /// @notice Who published the matrix, zero while unpublished.
    function publisherOf(bytes32 universeId, uint64 epoch) external view returns (address);

    /// @notice Whether a second publisher stands by the matrix.
    function isCountersigned(bytes32 universeId, uint64 epoch) external view returns (bool);

    /// @notice The universe's shape, zeros while unregistered.
    function universeOf(bytes32 universeId) external view returns (Universe memory);

    /// @notice Whether `publisher` may publish.
    function isPublisher(address publisher) external view returns (bool);
}
