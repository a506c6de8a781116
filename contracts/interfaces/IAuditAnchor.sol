// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Fixes an audit log's tree on chain, and refuses any tree that does not extend the one before
/// @notice One word is stored an anchor: keccak256(abi.encode(logId, index, size, root, headsRoot)). Trees are those
/// of RFC 9162 with SHA-256.
/// @dev The owner (the timelock; on a local chain the deployer) registers logs and their successors and names
/// anchorers; anchorers anchor; nobody changes or removes an anchor. To stop a log: take its anchorers away.
interface IAuditAnchor {
    /// @param size Number of entries
    /// @param root RFC 9162 root of the log's first `size` entries
    /// @param headsRoot SHA-256 over the number of accounts and the root of the tree of their heads
    struct Head {
        uint64 size;
        bytes32 root;
        bytes32 headsRoot;
    }

    /// @notice No log has this id
    error UnknownLog(bytes32 logId);
    /// @notice The log is registered already
    error LogExists(bytes32 logId);
    /// @notice The log has a successor and takes no further anchor
    error LogSucceeded(bytes32 logId, bytes32 successor);
    /// @notice The caller may not anchor this log
    error NotAnchorer(bytes32 logId, address caller);
    /// @notice The head given as the previous one is not the one that was anchored last
    error WrongPrevious(bytes32 expected, bytes32 actual);
    /// @notice The tree did not grow
    error SizeNotRising(uint64 previous, uint64 next);
    /// @notice The proof does not show that the tree extends the one before
    error Inconsistent(uint64 previous, uint64 next);
    /// @notice There is no anchor with this index
    error UnknownAnchor(bytes32 logId, uint256 index);

    /// @notice A log was registered, perhaps as the successor of one with an older key
    event LogRegistered(bytes32 indexed logId, bytes32 indexed predecessor, string origin, bytes32 publicKey);
    /// @notice An account may anchor a log, or not any more
    event AnchorerSet(bytes32 indexed logId, address indexed account, bool allowed);
    /// @notice A tree was anchored
    event Anchored(bytes32 indexed logId, uint256 indexed index, uint64 size, bytes32 root, bytes32 headsRoot);

    /// @notice Register a log
    /// @param origin The checkpoints' origin line
    /// @param publicKey The Ed25519 key that signs checkpoints
    /// @return logId keccak256(abi.encode(origin, publicKey, chain id, address of this contract))
    function registerLog(string calldata origin, bytes32 publicKey, address[] calldata anchorers)
        external
        returns (bytes32 logId);

    /// @notice Register the log that goes on where another one ends; its first anchor extends that one's last
    function registerSuccessor(
        bytes32 predecessor,
        string calldata origin,
        bytes32 publicKey,
        address[] calldata anchorers
    ) external returns (bytes32 logId);

    /// @notice Name or dismiss an anchorer
    function setAnchorer(bytes32 logId, address account, bool allowed) external;

    /// @notice Anchor a larger tree
    /// @param previous The head anchored last (for a successor's first anchor the predecessor's last), zero where none
    /// @param next The head to anchor
    /// @param proof RFC 9162 consistency proof from `previous` to `next`, empty where there is none before
    function anchor(bytes32 logId, Head calldata previous, Head calldata next, bytes32[] calldata proof) external;

    /// @notice The stored word of an anchor
    function anchorAt(bytes32 logId, uint256 index) external view returns (bytes32);

    /// @notice How many anchors the log has
    function anchorCount(bytes32 logId) external view returns (uint256);

    /// @notice Whether an account may anchor the log
    function isAnchorer(bytes32 logId, address account) external view returns (bool);

    /// @notice The log that goes on after this one, zero for none
    function successorOf(bytes32 logId) external view returns (bytes32);

    /// @notice The log that this one goes on from, zero for none
    function predecessorOf(bytes32 logId) external view returns (bytes32);
}
