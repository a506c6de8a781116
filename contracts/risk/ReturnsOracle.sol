// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IReturnsOracle} from "../interfaces/IReturnsOracle.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @title ReturnsOracle
/// @dev Specification, roles and how to stop it: IReturnsOracle.
contract ReturnsOracle is IReturnsOracle, Ownable {
    uint256 private constant PRICE_LIMIT = 1 << 32;
    uint256 private constant RETURN_BYTES = 3;

    mapping(bytes32 universeId => Universe universe) private _universes;
    mapping(bytes32 universeId => mapping(uint64 epoch => bytes32 returnsId)) private _returnsIds;
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
        bytes32 published = _returnsIds[universeId][epoch];
        if (published != 0) revert AlreadyPublished(universeId, epoch, published);
        if (prices.length != universe.instruments) revert PriceCount(universe.instruments, prices.length);
        uint256 length = RETURN_BYTES * universe.instruments * universe.window;
        if (returns_.length != length) revert ReturnsLength(length, returns_.length);
        for (uint256 i = 0; i < prices.length; ++i) {
            // The circuit's ranges count on it
            if (prices[i] == 0 || prices[i] >= PRICE_LIMIT) revert PriceOutOfRange(i, prices[i]);
        }
        returnsId = keccak256(abi.encode(universeId, epoch, prices, returns_));
        _returnsIds[universeId][epoch] = returnsId;
        emit Published(universeId, epoch, returnsId, msg.sender);
    }

    /// @inheritdoc IReturnsOracle
    function returnsIdOf(bytes32 universeId, uint64 epoch) external view returns (bytes32) {
        return _returnsIds[universeId][epoch];
    }

    /// @inheritdoc IReturnsOracle
    function universeOf(bytes32 universeId) external view returns (Universe memory) {
        return _universes[universeId];
    }
}
