// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAuditAnchor} from "../interfaces/IAuditAnchor.sol";
import {IGroth16Verifier} from "../interfaces/IGroth16Verifier.sol";
import {IReturnsOracle} from "../interfaces/IReturnsOracle.sol";
import {IVarAttestor} from "../interfaces/IVarAttestor.sol";
import {ReturnsFold} from "./ReturnsFold.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @title VarAttestor
/// @dev Specification, roles and how to stop it: IVarAttestor.
contract VarAttestor is IVarAttestor, Ownable {
    uint256 private constant LIMIT_BOUND = 1 << 100; // what the circuits' limit holds
    uint256 private constant RETURN_BYTES = 3;
    uint256 private constant STATEMENT_WORDS = 10;

    IReturnsOracle public immutable ORACLE;
    IAuditAnchor public immutable ANCHOR;

    mapping(bytes32 policyId => Policy policy) private _policies;
    mapping(address subject => mapping(bytes32 policyId => uint64 epoch)) private _latestEpochs;
    mapping(address subject => mapping(bytes32 policyId => mapping(uint64 epoch => bytes32 attestationId))) private
        _attestations;
    /// @inheritdoc IVarAttestor
    mapping(bytes32 logId => mapping(address attester => bool allowed)) public isAttester;

    constructor(address owner, IReturnsOracle oracle, IAuditAnchor anchor) Ownable(owner) {
        ORACLE = oracle;
        ANCHOR = anchor;
    }

    /// @inheritdoc IVarAttestor
    function definePolicy(bytes32 policyId, Policy calldata policy) external onlyOwner {
        if (_policies[policyId].verifier != address(0)) revert PolicyExists(policyId);
        // The fold takes instruments four at a time
        if (policy.instruments == 0 || policy.instruments % 4 != 0 || policy.k == 0 || policy.k > policy.window) {
            revert PolicyShape(policy.instruments, policy.window, policy.k);
        }
        if (policy.limit >= LIMIT_BOUND) revert LimitOutOfRange(policy.limit);
        if (policy.esLimit != 0) revert EsNotAttested(policy.esLimit);
        IReturnsOracle.Universe memory universe = ORACLE.universeOf(policy.universeId);
        if (universe.instruments != policy.instruments || universe.window != policy.window) {
            revert UniverseShapeMismatch(policy.universeId, universe.instruments, universe.window);
        }
        bytes32 keyHash = keccak256(IGroth16Verifier(policy.verifier).verifyingKey());
        if (keyHash != policy.verificationKeyHash) revert VerificationKeyMismatch(policy.verificationKeyHash, keyHash);
        _policies[policyId] = policy;
        emit PolicyDefined(policyId, policy);
    }

    /// @inheritdoc IVarAttestor
    function setAttester(bytes32 logId, address attester, bool allowed) external onlyOwner {
        isAttester[logId][attester] = allowed;
        emit AttesterSet(logId, attester, allowed);
    }

    /// @inheritdoc IVarAttestor
    function attest(Claim calldata claim, uint256[] calldata prices, bytes calldata returns_, uint256[8] calldata proof)
        external
        returns (bytes32 attestationId)
    {
        if (!isAttester[claim.logId][msg.sender]) revert NotAttester(claim.logId, msg.sender);
        Policy storage policy = _policies[claim.policyId];
        if (policy.verifier == address(0)) revert PolicyUnknown(claim.policyId);
        uint256 anchors = ANCHOR.anchorCount(claim.logId);
        if (claim.anchorIndex >= anchors) revert AnchorUnknown(claim.logId, claim.anchorIndex, anchors);
        bytes32 previous = _advance(claim);
        bytes32 returnsId = _matrixId(policy, claim.epoch, prices, returns_);
        _checkFold(claim, prices, returns_);

        uint256 context = _contextOf(claim, previous);
        attestationId = keccak256(abi.encode(context, claim.positionCommitment, returnsId));
        _attestations[claim.subject][claim.policyId][claim.epoch] = attestationId;
        _announce(claim, attestationId, previous, returnsId);
        uint256[] memory inputs = _publicInputs(claim, context, policy.universeId, returnsId, policy.limit);
        if (!IGroth16Verifier(policy.verifier).verifyProof(proof, inputs)) revert ProofRejected();
    }

    /// @inheritdoc IVarAttestor
    function policyOf(bytes32 policyId) external view returns (Policy memory) {
        return _policies[policyId];
    }

    /// @inheritdoc IVarAttestor
    function latestOf(address subject, bytes32 policyId) external view returns (bytes32) {
        return _attestations[subject][policyId][_latestEpochs[subject][policyId]];
    }

    /// @inheritdoc IVarAttestor
    function attestationAt(address subject, uint64 epoch, bytes32 policyId) external view returns (bytes32) {
        return _attestations[subject][policyId][epoch];
    }

    /// @inheritdoc IVarAttestor
    function contextOf(
        address subject,
        uint64 epoch,
        bytes32 policyId,
        bytes32 previous,
        bytes32 logId,
        uint64 anchorIndex
    ) public view returns (uint256) {
        bytes memory bound = abi.encode(
            block.chainid, address(this), subject, epoch, policyId, previous, logId, anchorIndex
        );
        return uint256(keccak256(bound)) % ReturnsFold.SCALAR_FIELD;
    }

    function _announce(Claim calldata claim, bytes32 attestationId, bytes32 previous, bytes32 returnsId) private {
        emit Attested(
            claim.subject,
            claim.epoch,
            claim.policyId,
            attestationId,
            previous,
            claim.logId,
            claim.anchorIndex,
            claim.positionCommitment,
            returnsId
        );
    }

    function _contextOf(Claim calldata claim, bytes32 previous) private view returns (uint256) {
        return contextOf(claim.subject, claim.epoch, claim.policyId, previous, claim.logId, claim.anchorIndex);
    }

    /// @dev Epochs only rise, so (subject, epoch, policy) is used once; a proof's own hash would not do: (-A, -B, C) verifies.
    function _advance(Claim calldata claim) private returns (bytes32 previous) {
        uint64 latest = _latestEpochs[claim.subject][claim.policyId];
        previous = _attestations[claim.subject][claim.policyId][latest];
        if (previous != 0 && claim.epoch <= latest) revert EpochNotAfter(latest, claim.epoch);
        _latestEpochs[claim.subject][claim.policyId] = claim.epoch;
    }

    /// @dev The id of the calldata that is folded must be the published one.
    function _matrixId(Policy storage policy, uint64 epoch, uint256[] calldata prices, bytes calldata returns_)
        private
        view
        returns (bytes32 returnsId)
    {
        uint256 instruments = policy.instruments;
        if (prices.length != instruments) revert PriceCount(instruments, prices.length);
        uint256 length = RETURN_BYTES * instruments * policy.window;
        if (returns_.length != length) revert ReturnsLength(length, returns_.length);
        bytes32 universeId = policy.universeId;
        returnsId = keccak256(abi.encode(universeId, epoch, prices, returns_));
        bytes32 published = ORACLE.returnsIdOf(universeId, epoch);
        if (published == 0) revert ReturnsUnpublished(universeId, epoch);
        if (published != returnsId) revert ReturnsIdMismatch(published, returnsId);
    }

    function _checkFold(Claim calldata claim, uint256[] calldata prices, bytes calldata returns_) private pure {
        _inField(claim.positionCommitment);
        _inField(claim.r);
        _inField(claim.z);
        uint256 e = ReturnsFold.fold(prices, returns_, claim.r, claim.z);
        if (e != claim.e) revert FoldMismatch(e, claim.e);
    }

    function _inField(uint256 value) private pure {
        if (value >= ReturnsFold.SCALAR_FIELD) revert FieldOverflow(value);
    }

    /// @dev (z, y, x) with x the hash of the statement and y its polynomial at x: circuits/README.md, family 8.
    function _publicInputs(Claim calldata claim, uint256 context, bytes32 universeId, bytes32 returnsId, uint256 limit)
        private
        pure
        returns (uint256[] memory inputs)
    {
        uint256[STATEMENT_WORDS] memory statement = [
            context,
            claim.positionCommitment,
            uint256(universeId) >> 128,
            uint256(uint128(uint256(universeId))),
            uint256(returnsId) >> 128,
            uint256(uint128(uint256(returnsId))),
            limit,
            claim.r,
            claim.z,
            claim.e
        ];
        uint256 x = uint256(keccak256(abi.encode(statement))) % ReturnsFold.SCALAR_FIELD;
        uint256 y = 0;
        for (uint256 i = STATEMENT_WORDS; i > 0; --i) {
            y = addmod(mulmod(y, x, ReturnsFold.SCALAR_FIELD), statement[i - 1], ReturnsFold.SCALAR_FIELD);
        }
        inputs = new uint256[](3);
        inputs[0] = claim.z;
        inputs[1] = y;
        inputs[2] = x;
    }
}
