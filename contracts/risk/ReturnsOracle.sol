// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IReturnsOracle} from "../interfaces/IReturnsOracle.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @title ReturnsOracle
/// @dev Specification, roles and how to stop it: IReturnsOracle.
contract ReturnsOracle is IReturnsOracle, Ownable {
    uint256 private constant PRICE_LIMIT = 1 << 32;
    uint256 private constant RETURN_BYTES = 3;

    struct Matrix {
        bytes32 returnsId;
        address publisher;
        bool countersigned;
    }

    mapping(bytes32 universeId => Universe universe) private _universes;
    mapping(bytes32 universeId => mapping(uint64 epoch => Matrix matrix)) private _matrices;
    /// @inheritdoc IReturnsOracle
    mapping(address publisher => bool allowed) public isPublisher;

    constructor(address owner) Ownable(owner) {}

    /// @inheritdoc IReturnsOracle
    function registerUniverse(bytes32 universeId, bytes32[] calldata instruments, uint16 window) external onlyOwner {
        bytes32 expected = keccak256(abi.encode(instruments));
        if (universeId != expected) revert UniverseIdMismatch(expected, universeId);
        if (_universes[universeId].window != 0) revert UniverseExists(universeId);
        if (instruments.length == 0 || instruments.length > type(uint16).max || window == 0) {
            revert UniverseShape(instruments.length, window);
        }
        // forge-lint: disable-next-line(unsafe-typecast)
        _universes[universeId] = Universe(uint16(instruments.length), window);
        emit UniverseRegistered(universeId, instruments, window);
    }

    /// @inheritdoc IReturnsOracle
    function setPublisher(address publisher, bool allowed) external onlyOwner {
        isPublisher[publisher] = allowed;
        emit PublisherSet(publisher, allowed);
    }

    /// @inheritdoc IReturnsOracle
    function publish(bytes32 universeId, uint64 epoch, uint256[] calldata prices, bytes calldata returns_)
        external
        returns (bytes32 returnsId)
    {
        if (!isPublisher[msg.sender]) revert NotPublisher(msg.sender);
        Universe memory universe = _universes[universeId];
        if (universe.window == 0) revert UniverseUnknown(universeId);
        Matrix storage matrix = _matrices[universeId][epoch];
        bytes32 published = matrix.returnsId;
        if (published != 0) revert AlreadyPublished(universeId, epoch, published);
        if (prices.length != universe.instruments) revert PriceCount(universe.instruments, prices.length);
        uint256 length = RETURN_BYTES * universe.instruments * universe.window;
        if (returns_.length != length) revert ReturnsLength(length, returns_.length);
        for (uint256 i = 0; i < prices.length; ++i) {
            // The circuit's ranges count on it
            if (prices[i] == 0 || prices[i] >= PRICE_LIMIT) revert PriceOutOfRange(i, prices[i]);
        }
        returnsId = keccak256(abi.encode(universeId, epoch, prices, returns_));
        matrix.returnsId = returnsId;
        matrix.publisher = msg.sender;
        emit Published(universeId, epoch, returnsId, msg.sender);
    }

    /// @inheritdoc IReturnsOracle
    function countersign(bytes32 universeId, uint64 epoch, bytes32 returnsId) external {
        if (!isPublisher[msg.sender]) revert NotPublisher(msg.sender);
        Matrix storage matrix = _matrices[universeId][epoch];
        bytes32 published = matrix.returnsId;
        if (published == 0) revert NotPublished(universeId, epoch);
        if (published != returnsId) revert OtherPublished(published, returnsId);
        if (matrix.publisher == msg.sender) revert OwnMatrix(msg.sender);
        if (matrix.countersigned) revert AlreadyCountersigned(universeId, epoch);
        matrix.countersigned = true;
        emit Countersigned(universeId, epoch, returnsId, msg.sender);
    }

    /// @inheritdoc IReturnsOracle
    function returnsIdOf(bytes32 universeId, uint64 epoch) external view returns (bytes32) {
        return _matrices[universeId][epoch].returnsId;
    }

    /// @inheritdoc IReturnsOracle
    function publisherOf(bytes32 universeId, uint64 epoch) external view returns (address) {
        return _matrices[universeId][epoch].publisher;
    }

    /// @inheritdoc IReturnsOracle
    function isCountersigned(bytes32 universeId, uint64 epoch) external view returns (bool) {
        return _matrices[universeId][epoch].countersigned;
    }

    /// @inheritdoc IReturnsOracle
    function universeOf(bytes32 universeId) external view returns (Universe memory) {
        return _universes[universeId];
    }
}
