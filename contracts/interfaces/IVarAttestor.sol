// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title IVarAttestor
/// @notice Accepts a proof that committed positions keep their Value-at-Risk under a policy's limit, and chains it to the
/// subject's attestation before it.
/// @dev The circuit leaves one equation to the verifier: e = sum_n z^n price_n sum_w r^w R[w][n] (mod the scalar field)
/// over the published matrix. A Groth16 proof alone shows nothing; `attest` is the one entry point that checks both.
/// Owner: defines policies (once each) and names the attesters of a log. Attester: submits claims.
/// To stop it: take the attesters' role away. See circuits/README.md for the statement.
interface IVarAttestor {
    /// @notice Everything a prover must not choose. Immutable once defined.
    /// @param universeId keccak256(abi.encode(bytes32[] instruments)), registered at the returns oracle
    /// @param instruments N
    /// @param window W, days
    /// @param k ceil(W(1-c)): at most k-1 losses exceed the limit
    /// @param limit VaR limit, scale 1e-16 USD, below 2^100
    /// @param esLimit expected-shortfall limit; zero: not attested (the circuits at hand prove none)
    /// @param circuitHash SHA-256 over the circuit's sources, as circuits/README.md says
    /// @param verificationKeyHash keccak256 of `verifier.verifyingKey()`
    /// @param verifier the Groth16 verifier
    struct Policy {
        bytes32 universeId;
        uint16 instruments;
        uint16 window;
        uint16 k;
        uint256 limit;
        uint256 esLimit;
        bytes32 circuitHash;
        bytes32 verificationKeyHash;
        address verifier;
    }

    /// @notice What a submitter claims; r, z and e come out of the circuit.
    /// @param subject the wallet whose positions are committed
    /// @param epoch UTC day number
    /// @param policyId the policy to hold
    /// @param logId the log that holds the position commitment
    /// @param anchorIndex an existing anchor of that log
    /// @param positionCommitment Poseidon commitment of the subject's `epoch.closed` record
    /// @param r the challenge over positions and daily P&L
    /// @param z the challenge over the column evaluations
    /// @param e the folded column evaluations
    struct Claim {
        address subject;
        uint64 epoch;
        bytes32 policyId;
        bytes32 logId;
        uint64 anchorIndex;
        uint256 positionCommitment;
        uint256 r;
        uint256 z;
        uint256 e;
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
    error LimitOutOfRange(uint256 limit);
    error EsNotAttested(uint256 esLimit);
    error UniverseShapeMismatch(bytes32 universeId, uint256 instruments, uint256 window);
    error VerificationKeyMismatch(bytes32 expected, bytes32 given);
    error AnchorUnknown(bytes32 logId, uint256 anchorIndex, uint256 anchorCount);
    error EpochNotAfter(uint64 latest, uint64 given);
    error ReturnsIdMismatch(bytes32 published, bytes32 given);
    error ReturnsUnpublished(bytes32 universeId, uint64 epoch);
    error PriceCount(uint256 expected, uint256 given);
    error ReturnsLength(uint256 expected, uint256 given);
    error FieldOverflow(uint256 value);
    error FoldMismatch(uint256 expected, uint256 given);
    error ProofRejected();

    /// @notice Define a policy, once. Owner only.
    /// @dev The verifier's key fixes N, W and k; a key does not show them, so that the owner must take instruments, window
    /// and k from the circuit that `circuitHash` names: in a shorter window the circuit's k hides a larger share of days.
    function definePolicy(bytes32 policyId, Policy calldata policy) external;

    /// @notice Name or remove an attester of a log. Owner only.
    /// @dev Trusted with every subject: (subject, epoch, policy) is one slot whatever the log, and epochs only rise, so that
    /// a rogue attester of one log can take the slots of another log's subjects. Readers hold `logId` against theirs.
    function setAttester(bytes32 logId, address attester, bool allowed) external;

    /// @notice Check a claim whole: role, anchor, matrix, fold and proof; store and chain it. The log's attesters only.
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

    /// @notice The attestation of one epoch, zero if none.
    function attestationAt(address subject, uint64 epoch, bytes32 policyId) external view returns (bytes32);

    /// @notice Whether `attester` may submit for the log.
    function isAttester(bytes32 logId, address attester) external view returns (bool);
}
