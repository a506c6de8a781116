// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAuditAnchor} from "../interfaces/IAuditAnchor.sol";
import {IGroth16Verifier} from "../interfaces/IGroth16Verifier.sol";
import {IReturnsOracle} from "../interfaces/IReturnsOracle.sol";
import {IVarAttestor} from "../interfaces/IVarAttestor.sol";
import {EasAttester} from "./EasAttester.sol";
import {ReturnsFold} from "./ReturnsFold.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @title VarAttestor
/// @dev Specification, roles and how to stop it: IVarAttestor.
contract VarAttestor is IVarAttestor, EasAttester, Ownable {
    uint256 private constant INSTRUMENTS_STEP = 4; // the fold takes them four at a time
    uint256 private constant QUANTITY_BITS_MAX = 40;
    uint256 private constant PNL_BITS_MAX = 83; // the circuits pack three days, each with its flag, into a field element
    uint256 private constant RETURN_BYTES = 3;
    uint256 private constant STATEMENT_WORDS = 9;
    string private constant EAS_SCHEMA =
        "bytes32 attestationId,address subject,uint64 epoch,bytes32 policyId,uint256 positionCommitment,bytes32 returnsId,bytes32 previous";

    /// @dev A subject's attestations under one policy; `next` is the newest epoch plus one, zero before the first.
    struct Chain {
        uint256 next;
        mapping(uint256 epoch => bytes32 attestationId) attestations;
    }

    IReturnsOracle public immutable ORACLE;
    IAuditAnchor public immutable ANCHOR;

    mapping(bytes32 policyId => Policy policy) private _policies;
    mapping(address subject => mapping(bytes32 policyId => Chain chain)) private _chains;
    /// @inheritdoc IVarAttestor
    mapping(bytes32 logId => mapping(address attester => bool allowed)) public isAttester;

    constructor(address owner, IReturnsOracle oracle, IAuditAnchor anchor) Ownable(owner) EasAttester(EAS_SCHEMA) {
        ORACLE = oracle;
        ANCHOR = anchor;
    }

    /// @inheritdoc IVarAttestor
    function definePolicy(bytes32 policyId, Policy calldata policy) external onlyOwner {
        if (_policies[policyId].verifier != address(0)) revert PolicyExists(policyId);
        _requireSound(policy);
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
        _requireAnchored(claim);
        bytes32 returnsId = _matrixId(policy, claim.epoch, prices, returns_);
        bytes32 previous;
        (attestationId, previous) = _chain(claim, returnsId);
        uint256 e = _fold(claim, prices, returns_);
        uint256[] memory inputs = _publicInputs(claim, policy, attestationId, e);
        if (!IGroth16Verifier(policy.verifier).verifyProof(proof, inputs)) revert ProofRejected();
        if (SCHEMA != 0) _repeat(attestationId, claim.subject, _easData(claim, attestationId, returnsId, previous));
    }

    /// @inheritdoc IVarAttestor
    function policyOf(bytes32 policyId) external view returns (Policy memory) {
        return _policies[policyId];
    }

    /// @inheritdoc IVarAttestor
    function latestOf(address subject, bytes32 policyId) external view returns (bytes32) {
        return _latest(_chains[subject][policyId]);
    }

    /// @inheritdoc IVarAttestor
    function nextEpochOf(address subject, bytes32 policyId) external view returns (uint256) {
        return _chains[subject][policyId].next;
    }

    /// @inheritdoc IVarAttestor
    function attestationAt(address subject, uint64 epoch, bytes32 policyId) external view returns (bytes32) {
        return _chains[subject][policyId].attestations[epoch];
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

    /// @dev Epochs only rise, so (subject, epoch, policy) is used once; a proof's own hash would not do: (-A, -B, C) verifies.
    function _chain(Claim calldata claim, bytes32 returnsId) private returns (bytes32 attestationId, bytes32 previous) {
        Chain storage chain = _chains[claim.subject][claim.policyId];
        uint256 next = chain.next;
        // forge-lint: disable-next-line(unsafe-typecast)
        if (claim.epoch < next) revert EpochNotAfter(uint64(next - 1), claim.epoch);
        previous = _latest(chain);
        uint256 context =
            contextOf(claim.subject, claim.epoch, claim.policyId, previous, claim.logId, claim.anchorIndex);
        attestationId = keccak256(abi.encode(context, claim.positionCommitment, returnsId));
        chain.next = uint256(claim.epoch) + 1;
        chain.attestations[claim.epoch] = attestationId;
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

    function _latest(Chain storage chain) private view returns (bytes32) {
        uint256 next = chain.next;
        return next == 0 ? bytes32(0) : chain.attestations[next - 1];
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

    /// @dev (z, y, x) with x the hash of the statement and y its polynomial at x: circuits/README.md, family 8.
    function _publicInputs(Claim calldata claim, Policy storage policy, bytes32 attestationId, uint256 e)
        private
        view
        returns (uint256[] memory inputs)
    {
        uint256 universe = uint256(policy.universeId);
        uint256[STATEMENT_WORDS] memory statement = [
            uint256(attestationId) % ReturnsFold.SCALAR_FIELD,
            claim.positionCommitment,
            universe >> 128,
            uint256(uint128(universe)),
            policy.limit,
            policy.esLimit,
            claim.r,
            claim.z,
            e
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

    function _easData(Claim calldata claim, bytes32 attestationId, bytes32 returnsId, bytes32 previous)
        private
        pure
        returns (bytes memory)
    {
        return abi.encode(
            attestationId, claim.subject, claim.epoch, claim.policyId, claim.positionCommitment, returnsId, previous
        );
    }

    function _requireAnchored(Claim calldata claim) private view {
        uint256 anchors = ANCHOR.anchorCount(claim.logId);
        if (claim.anchorIndex >= anchors) revert AnchorUnknown(claim.logId, claim.anchorIndex, anchors);
    }

    function _fold(Claim calldata claim, uint256[] calldata prices, bytes calldata returns_)
        private
        pure
        returns (uint256)
    {
        _requireInField(claim.positionCommitment);
        _requireInField(claim.r);
        _requireInField(claim.z);
        return ReturnsFold.fold(prices, returns_, claim.r, claim.z);
    }

    function _requireInField(uint256 value) private pure {
        if (value >= ReturnsFold.SCALAR_FIELD) revert FieldOverflow(value);
    }

    /// @dev What the circuits' soundness counts on: circuits/README.md.
    function _requireSound(Policy calldata policy) private pure {
        uint256 k = policy.k;
        if (policy.instruments == 0 || policy.instruments % INSTRUMENTS_STEP != 0 || k == 0 || k > policy.window) {
            revert PolicyShape(policy.instruments, policy.window, k);
        }
        uint256 a = policy.tailNumerator;
        uint256 b = policy.tailDenominator;
        if (b == 0 || k != (a + b - 1) / b) revert PolicyTail(k, a, b);
        uint256 limitBits = policy.limitBits;
        uint256 pnlBits = policy.pnlBits;
        if (
            policy.quantityBits == 0 || policy.quantityBits > QUANTITY_BITS_MAX || limitBits >= pnlBits
                || pnlBits > PNL_BITS_MAX
        ) revert PolicyWidths(policy.quantityBits, limitBits, pnlBits);
        if (policy.limit >> limitBits != 0) revert LimitOutOfRange(policy.limit, limitBits);
        if (policy.esLimit >> limitBits != 0) revert LimitOutOfRange(policy.esLimit, limitBits);
    }
}
