// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOptimismAnchorStateRegistry} from "./IOptimismAnchorStateRegistry.sol";

/// @title Shows on L1 what AuditAnchor stores on an OP-stack L2
/// @notice An anchor's word is proved against an output root that the chain's own dispute game settled: account proof
/// of AuditAnchor in the state root, storage proof of the word's slot in the account.
/// @dev Anyone may prove anything that is true. Nobody owns the contract, nothing in it can be changed, and a word
/// once proven stays. There is nothing to stop; whoever distrusts the registry's games does not read it. A chain that
/// moves to another registry, or whose games claim roots of several chains at once, needs a verifier of its own.
interface IL1AnchorVerifier {
    /// @notice What an output root hashes: keccak256(abi.encode(version, stateRoot, messagePasserStorageRoot, blockHash))
    /// @param version Zero, the only one there is
    struct OutputRootPreimage {
        bytes32 version;
        bytes32 stateRoot;
        bytes32 messagePasserStorageRoot;
        bytes32 blockHash;
    }

    /// @notice There is no contract at the registry's address, or AuditAnchor's is zero
    error NoContract(address account);
    /// @notice The registry does not vouch for the game's claim (yet, or any more)
    error GameNotValid(address game);
    /// @notice The preimage is of another form than this contract reads
    error UnknownVersion(bytes32 version);
    /// @notice The preimage is not that of the game's claim
    error WrongOutputRoot(bytes32 claimed, bytes32 given);
    /// @notice The account proof does not show the account in the state root
    /// @param cause What the trie's reader refused it with
    error AccountNotProven(address account, bytes32 stateRoot, bytes cause);
    /// @notice The storage proof does not show a value in the account's slot: it is altered, incomplete, of another
    /// slot, or shows that there is none
    error WordNotProven(bytes32 slot, bytes32 storageRoot, bytes cause);
    /// @notice The proofs show that the slot holds nothing
    error NothingAnchored(bytes32 logId, uint256 index);
    /// @notice The proofs show another word than the one that was proven before
    error WordChanged(bytes32 logId, uint256 index, bytes32 proven, bytes32 found);

    /// @notice An anchor's word was proven
    event AnchorProven(bytes32 indexed logId, uint256 indexed index, bytes32 word, bytes32 outputRoot);

    /// @notice Prove an anchor's word
    /// @param game A dispute game of the L2, by whose claim the output root is known
    /// @param accountProof The account's trie nodes, root first (`eth_getProof` on the L2 at the game's block)
    /// @param storageProof The slot's trie nodes, root first
    /// @return word keccak256(abi.encode(logId, index, size, root, headsRoot)), as AuditAnchor stores it
    function prove(
        address game,
        OutputRootPreimage calldata preimage,
        bytes32 logId,
        uint256 index,
        bytes[] calldata accountProof,
        bytes[] calldata storageProof
    ) external returns (bytes32 word);

    /// @notice The word that was proven for an anchor, zero for none
    function provenAt(bytes32 logId, uint256 index) external view returns (bytes32);

    /// @notice The slot of AuditAnchor's storage that holds an anchor's word
    function slotOf(bytes32 logId, uint256 index) external pure returns (bytes32);

    /// @notice The id of the log with this origin and key on the L2: what ties a log id to a key and to a chain
    function logIdOf(string calldata origin, bytes32 publicKey) external view returns (bytes32);

    /// @notice The value that trie nodes prove under a hashed key, still RLP-encoded; reverts where they prove none
    function valueIn(bytes32 root, bytes32 hashedKey, bytes[] calldata proof) external pure returns (bytes memory);

    /// @notice The OP stack's registry of settled output roots
    function anchorStateRegistry() external view returns (IOptimismAnchorStateRegistry);

    /// @notice AuditAnchor's address on the L2
    function auditAnchor() external view returns (address);

    /// @notice The L2's chain id
    function l2ChainId() external view returns (uint256);
}
