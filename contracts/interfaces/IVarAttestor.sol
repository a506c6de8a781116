// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title IVarAttestor
/// @notice Accepts a proof that committed positions keep their Value-at-Risk (and expected shortfall) under a policy's
/// limits, and chains it to the subject's attestation before it.
/// @dev The circuit leaves one equation to the verifier: e = sum_n z^n price_n sum_w r^w R[w][n] (mod the scalar field)
/// over the published matrix. A Groth16 proof alone shows nothing; `attest` is the one entry point: it computes e itself
/// and puts it into the statement that the proof must be about, so that a wrong fold is a rejected proof.
/// Owner: defines policies (once each) and names the attesters of a log. Attester: submits claims.
/// To stop it: take the attesters' role away. See circuits/README.md for the statement.
interface IVarAttestor {
    /// @notice Everything a prover must not choose. Immutable once defined.
    /// @param universeId keccak256(abi.encode(bytes32[] instruments)), registered at the returns oracle
    /// @param verifier the Groth16 verifier
    /// @param instruments N, a multiple of 4
    /// @param window W, days
    /// @param k ceil(W(1-c)): at most k-1 losses exceed the limit
    /// @param tailNumerator a of the tail mass W(1-c) = a/b
    /// @param tailDenominator b of the tail mass
    /// @param quantityBits the circuit's bits of a quantity's magnitude (scale 1e-6), at most 40
    /// @param limitBits the circuit's bits of a limit
    /// @param pnlBits the circuit's bits of a checked day, at most 83
    /// @param limit VaR limit, scale 1e-16 USD, below 2^limitBits
    /// @param esLimit expected-shortfall limit, in the same unit; zero: not attested
    /// @param circuitHash SHA-256 over the circuit's sources, as circuits/README.md says
    /// @param verificationKeyHash keccak256 of `verifier.verifyingKey()`
    struct Policy {
        bytes32 universeId;
        address verifier;
        uint16 instruments;
        uint16 window;
        uint16 k;
        uint16 tailNumerator;
        uint8 tailDenominator;
        uint8 quantityBits;
        uint8 limitBits;
        uint8 pnlBits;
        uint128 limit;
        uint128 esLimit;
        bytes32 circuitHash;
        bytes32 verificationKeyHash;
    }

    /// @notice What a submitter claims; r and z come out of the circuit.
    /// @param subject the wallet whose positions are committed
    /// @param epoch UTC day number
    /// @param policyId the policy to hold
    /// @param logId the log that holds the position commitment
    /// @param anchorIndex an existing anchor of that log
    /// @param positionCommitment Poseidon commitment of the subject's `epoch.closed` record
    /// @param r the challenge over positions and daily P&L
    /// @param z the challenge over the column evaluations
    struct Claim {
        address subject;
        uint64 epoch;
        bytes32 policyId;
        bytes32 logId;
        uint64 anchorIndex;
        uint256 positionCommitment;
        uint256 r;
        uint256 z;
    }

    /// @notice A policy was defined.
    event PolicyDefined(bytes32 indexed policyId, Policy policy);
    /// @notice An attester of a log was named (`allowed`) or removed.
    event AttesterSet(bytes32 indexed logId, address indexed attester, bool allowed);
    /// @notice A claim was proved.
    event Attested(
        address indexed subject,
        uint64 indexed epoch,
        bytes32 indexed policyId,
        bytes32 attestationId,
        bytes32 previous,
        bytes32 logId,
        uint64 anchorIndex,
        uint256 positionCommitment,
        bytes32 returnsId
    );

    error NotAttester(bytes32 logId, address caller);
    error PolicyExists(bytes32 policyId);
    error PolicyUnknown(bytes32 policyId);
    error PolicyShape(uint256 instruments, uint256 window, uint256 k);
    error PolicyTail(uint256 k, uint256 tailNumerator, uint256 tailDenominator);
    error PolicyWidths(uint256 quantityBits, uint256 limitBits, uint256 pnlBits);
    error LimitOutOfRange(uint256 limit, uint256 limitBits);
    error UniverseShapeMismatch(bytes32 universeId, uint256 instruments, uint256 window);
    error VerificationKeyMismatch(bytes32 expected, bytes32 given);
    error AnchorUnknown(bytes32 logId, uint256 anchorIndex, uint256 anchorCount);
    error EpochNotAfter(uint64 latest, uint64 given);
    error ReturnsIdMismatch(bytes32 published, bytes32 given);
    error ReturnsUnpublished(bytes32 universeId, uint64 epoch);
    error PriceCount(uint256 expected, uint256 given);
    error ReturnsLength(uint256 expected, uint256 given);
    error FieldOverflow(uint256 value);
    error ProofRejected();

    /// @notice Define a policy, once. Owner only.
    /// @dev The verifier's key fixes N, W, a/b and the bit widths; a key does not show them, so that the owner must take them
    /// from the circuit that `circuitHash` names: in a shorter window the circuit's k hides a larger share of days.
    /// The verifier's code is the owner's choice as well: it is asked for its key here and never again, and code of another
    /// kind (or behind a proxy) could show this key and accept anything. Readers verify the proof themselves.
    function definePolicy(bytes32 policyId, Policy calldata policy) external;

    /// @notice Name or remove an attester of a log. Owner only.
    /// @dev Trusted with every subject: (subject, epoch, policy) is one slot whatever the log, and epochs only rise, so that
    /// a rogue attester of one log can take the slots of another log's subjects. Readers hold `logId` against theirs.
    function setAttester(bytes32 logId, address attester, bool allowed) external;

    /// @notice Check a claim whole: role, anchor, matrix, fold and proof; store and chain it. The log's attesters only.
    /// @dev That the commitment is that of the subject's record below the anchor is the attester's word here, and is shown by
    /// an evidence pack. Returns that nobody countersigned are taken: see IReturnsOracle.isCountersigned.
    /// The proof's statement, nine field elements: attestation id mod the field, position commitment, universe id
    /// (high and low 128 bits), limit, esLimit, r, z, e. Its public inputs: (z, y, x), x = keccak256 of the nine mod the
    /// field, y = sum_i statement[i] x^i.
    /// @param prices the published closing prices
    /// @param returns_ the published packed returns
    /// @param proof A.x A.y B.x1 B.x0 B.y1 B.y0 C.x C.y (EIP-197 order)
    /// @return attestationId keccak256(abi.encode(ctx, positionCommitment, returnsId))
    function attest(Claim calldata claim, uint256[] calldata prices, bytes calldata returns_, uint256[8] calldata proof)
        external
        returns (bytes32 attestationId);

    /// @notice The policy, all zero while undefined.
    function policyOf(bytes32 policyId) external view returns (Policy memory);

    /// @notice keccak256(abi.encode(chain id, this, subject, epoch, policyId, previous, logId, anchorIndex)) mod the field.
    function contextOf(
        address subject,
        uint64 epoch,
        bytes32 policyId,
        bytes32 previous,
        bytes32 logId,
        uint64 anchorIndex
    ) external view returns (uint256);

    /// @notice The subject's newest attestation under a policy, zero if none.
    function latestOf(address subject, bytes32 policyId) external view returns (bytes32);

    /// @notice The subject's newest attested epoch under a policy plus one, zero if none; no earlier epoch can follow.
    function nextEpochOf(address subject, bytes32 policyId) external view returns (uint256);

    /// @notice The attestation of one epoch, zero if none.
    function attestationAt(address subject, uint64 epoch, bytes32 policyId) external view returns (bytes32);

    /// @notice Whether `attester` may submit for the log.
    function isAttester(bytes32 logId, address attester) external view returns (bool);
}
