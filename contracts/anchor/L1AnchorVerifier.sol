// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IL1AnchorVerifier} from "../interfaces/IL1AnchorVerifier.sol";
import {IOptimismAnchorStateRegistry} from "../interfaces/IOptimismAnchorStateRegistry.sol";
import {IOptimismDisputeGame} from "../interfaces/IOptimismDisputeGame.sol";
import {Memory} from "@openzeppelin/contracts/utils/Memory.sol";
import {RLP} from "@openzeppelin/contracts/utils/RLP.sol";
import {TrieProof} from "@openzeppelin/contracts/utils/cryptography/TrieProof.sol";

/// @title Implements IL1AnchorVerifier, which says what it does, who may do it and how to stop it
contract L1AnchorVerifier is IL1AnchorVerifier {
    using RLP for bytes;
    using RLP for Memory.Slice;

    /// @dev The place of `_anchors` in AuditAnchor's storage; a test reads it from the compiler.
    uint256 private constant ANCHORS_SLOT = 4;
    /// @dev An account is RLP of (nonce, balance, storage root, code hash).
    uint256 private constant STORAGE_ROOT = 2;

    IOptimismAnchorStateRegistry public immutable anchorStateRegistry;
    address public immutable auditAnchor;
    uint256 public immutable l2ChainId;

    mapping(bytes32 logId => mapping(uint256 index => bytes32 word)) public provenAt;

    constructor(address anchorStateRegistry_, address auditAnchor_, uint256 l2ChainId_) {
        if (anchorStateRegistry_.code.length == 0) revert NoContract(anchorStateRegistry_);
        if (auditAnchor_ == address(0)) revert NoContract(auditAnchor_);
        anchorStateRegistry = IOptimismAnchorStateRegistry(anchorStateRegistry_);
        auditAnchor = auditAnchor_;
        l2ChainId = l2ChainId_;
    }

    /// @inheritdoc IL1AnchorVerifier
    function prove(
        address game,
        OutputRootPreimage calldata preimage,
        bytes32 logId,
        uint256 index,
        bytes[] calldata accountProof,
        bytes[] calldata storageProof
    ) external returns (bytes32 word) {
        bytes32 outputRoot = _requireClaimed(game, preimage);
        word = _wordIn(_storageRootIn(preimage.stateRoot, accountProof), slotOf(logId, index), storageProof);
        if (word == bytes32(0)) revert NothingAnchored(logId, index);
        bytes32 proven = provenAt[logId][index];
        if (proven == word) return word;
        if (proven != bytes32(0)) revert WordChanged(logId, index, proven, word);
        provenAt[logId][index] = word;
        emit AnchorProven(logId, index, word, outputRoot);
    }

    /// @inheritdoc IL1AnchorVerifier
    function logIdOf(string calldata origin, bytes32 publicKey) external view returns (bytes32) {
        return keccak256(abi.encode(origin, publicKey, l2ChainId, auditAnchor));
    }

    /// @inheritdoc IL1AnchorVerifier
    function valueIn(bytes32 root, bytes32 hashedKey, bytes[] calldata proof) external pure returns (bytes memory) {
        return TrieProof.traverse(root, abi.encode(hashedKey), proof);
    }

    /// @inheritdoc IL1AnchorVerifier
    function slotOf(bytes32 logId, uint256 index) public pure returns (bytes32) {
        return keccak256(abi.encode(index, keccak256(abi.encode(logId, ANCHORS_SLOT))));
    }

    function _requireClaimed(address game, OutputRootPreimage calldata preimage)
        private
        view
        returns (bytes32 claimed)
    {
        if (!anchorStateRegistry.isGameClaimValid(IOptimismDisputeGame(game))) {
            revert GameNotValid(game);
        }
        if (preimage.version != bytes32(0)) revert UnknownVersion(preimage.version);
        claimed = IOptimismDisputeGame(game).rootClaim();
        bytes32 given = keccak256(abi.encode(preimage));
        if (claimed != given) revert WrongOutputRoot(claimed, given);
    }

    function _storageRootIn(bytes32 stateRoot, bytes[] calldata proof) private view returns (bytes32) {
        // A call of its own, so that whatever the reader stumbles over is told with what it was reading.
        try this.valueIn(stateRoot, keccak256(abi.encodePacked(auditAnchor)), proof) returns (bytes memory account) {
            return account.decodeList()[STORAGE_ROOT].readBytes32();
        } catch (bytes memory cause) {
            revert AccountNotProven(auditAnchor, stateRoot, cause);
        }
    }

    function _wordIn(bytes32 storageRoot, bytes32 slot, bytes[] calldata proof) private view returns (bytes32) {
        try this.valueIn(storageRoot, keccak256(abi.encode(slot)), proof) returns (bytes memory value) {
            return value.decodeBytes32();
        } catch (bytes memory cause) {
            revert WordNotProven(slot, storageRoot, cause);
        }
    }
}
