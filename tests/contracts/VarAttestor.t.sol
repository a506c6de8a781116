// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AuditAnchor} from "../../contracts/anchor/AuditAnchor.sol";
import {IAuditAnchor} from "../../contracts/interfaces/IAuditAnchor.sol";
import {IVarAttestor} from "../../contracts/interfaces/IVarAttestor.sol";
import {ReturnsFold} from "../../contracts/risk/ReturnsFold.sol";
import {ReturnsOracle} from "../../contracts/risk/ReturnsOracle.sol";
import {VarAttestor} from "../../contracts/risk/VarAttestor.sol";
import {Groth16Verifier} from "../../contracts/verifiers/Groth16Verifier.sol";
import {Base} from "./Base.t.sol";
import {FoldHarness} from "./Harnesses.sol";
import {Trapdoor} from "./Trapdoor.sol";

/// @notice An attestor with a policy and market data, and claims that it accepts: their proofs come from a trapdoor
abstract contract VarWorld is Base {
    uint256 internal constant FIELD = ReturnsFold.SCALAR_FIELD;
    uint64 internal constant EPOCH = 17_000;
    uint16 internal constant INSTRUMENTS = 8;
    uint16 internal constant WINDOW = 10;
    bytes32 internal constant POLICY_ID = keccak256("policy");

    address internal immutable attester = roleOf("attester");
    address internal immutable second = roleOf("second publisher");

    FoldHarness internal folds;
    ReturnsOracle internal oracle;
    AuditAnchor internal audit;
    VarAttestor internal attestor;
    Groth16Verifier internal verifier;
    bytes32 internal logId;
    bytes32 internal universeId;
    uint256[] internal prices;
    bytes internal matrix;

    function setUp() public virtual {
        folds = new FoldHarness();
        oracle = new ReturnsOracle(owner);
        audit = new AuditAnchor(owner);
        verifier = new Groth16Verifier(Trapdoor.key());
        attestor = new VarAttestor(owner, oracle, audit);
        bytes32[] memory instruments = new bytes32[](INSTRUMENTS);
        for (uint256 n = 0; n < INSTRUMENTS; ++n) {
            instruments[n] = bytes32(n + 1);
            prices.push(1_000_000 + n);
        }
        for (uint256 i = 0; i < uint256(INSTRUMENTS) * WINDOW; ++i) {
            matrix = bytes.concat(matrix, bytes3(keccak256(abi.encode(i))));
        }
        universeId = keccak256(abi.encode(instruments));
        vm.startPrank(owner);
        oracle.registerUniverse(universeId, instruments, WINDOW);
        oracle.setPublisher(owner, true);
        oracle.setPublisher(second, true);
        for (uint64 epoch = EPOCH; epoch < EPOCH + 3; ++epoch) {
            oracle.publish(universeId, epoch, prices, matrix);
        }
        logId = audit.registerLog("refi.trading/test", keccak256("key"), one(owner));
        IAuditAnchor.Head memory none;
        audit.anchor(logId, none, IAuditAnchor.Head(1, keccak256("root"), keccak256("heads")), new bytes32[](0));
        attestor.definePolicy(POLICY_ID, policy());
        attestor.setAttester(logId, attester, true);
        vm.stopPrank();
    }

    function policy() internal view returns (IVarAttestor.Policy memory) {
        return IVarAttestor.Policy({
            universeId: universeId,
            verifier: address(verifier),
            instruments: INSTRUMENTS,
            window: WINDOW,
            k: 5,
            tailNumerator: 9,
            tailDenominator: 2,
            quantityBits: 40,
            limitBits: 82,
            pnlBits: 83,
            limit: 1 << 81,
            esLimit: 1 << 80,
            circuitHash: keccak256("circuit"),
            verificationKeyHash: keccak256(Trapdoor.key())
        });
    }

    function claimAt(uint64 epoch) internal view returns (IVarAttestor.Claim memory) {
        uint256 commitment = uint256(keccak256(abi.encode("commitment", epoch))) % FIELD;
        return IVarAttestor.Claim(trader, epoch, POLICY_ID, logId, 0, commitment, 3 ** 160 % FIELD, 5 ** 110 % FIELD);
    }

    function idOf(IVarAttestor.Claim memory claim) internal view returns (bytes32) {
        uint256 context = attestor.contextOf(
            claim.subject,
            claim.epoch,
            claim.policyId,
            attestor.latestOf(claim.subject, claim.policyId),
            claim.logId,
            claim.anchorIndex
        );
        return keccak256(abi.encode(context, claim.positionCommitment, oracle.returnsIdOf(universeId, claim.epoch)));
    }

    /// @dev The nine values of the statement, as the specification has them.
    function statementOf(IVarAttestor.Claim memory claim) internal view returns (uint256[] memory statement) {
        statement = new uint256[](9);
        statement[0] = uint256(idOf(claim)) % FIELD;
        statement[1] = claim.positionCommitment;
        statement[2] = uint256(universeId) >> 128;
        statement[3] = uint256(universeId) & type(uint128).max;
        statement[4] = policy().limit;
        statement[5] = policy().esLimit;
        statement[6] = claim.r;
        statement[7] = claim.z;
        statement[8] = folds.naive(prices, matrix, claim.r, claim.z);
    }

    /// @dev A proof that the key accepts for a statement, true or not.
    function proofOf(uint256[] memory statement) internal view returns (uint256[8] memory) {
        uint256 x = uint256(keccak256(abi.encodePacked(statement))) % FIELD;
        uint256 y = 0;
        uint256 power = 1;
        for (uint256 i = 0; i < statement.length; ++i) {
            y = addmod(y, mulmod(statement[i], power, FIELD), FIELD);
            power = mulmod(power, x, FIELD);
        }
        uint256[] memory inputs = new uint256[](3);
        (inputs[0], inputs[1], inputs[2]) = (statement[7], y, x);
        uint256[8] memory proof = Trapdoor.prove(inputs, 7);
        requireTrue(verifier.verifyProof(proof, inputs), "the key accepts the proof");
        return proof;
    }

    function attest(IVarAttestor.Claim memory claim) internal returns (bytes32) {
        uint256[8] memory proof = proofOf(statementOf(claim));
        vm.prank(attester);
        return attestor.attest(claim, prices, matrix, proof);
    }
}

contract VarAttestorTest is VarWorld {
    function test_without_the_attestation_service_there_is_no_schema() public view {
        requireEqual(0, attestor.SCHEMA());
    }

    function test_a_proved_claim_is_stored_chained_and_announced() public {
        bytes32 first = idOf(claimAt(EPOCH));
        vm.expectEmit();
        emit IVarAttestor.Attested(
            trader,
            EPOCH,
            POLICY_ID,
            first,
            0,
            logId,
            0,
            claimAt(EPOCH).positionCommitment,
            oracle.returnsIdOf(universeId, EPOCH)
        );
        requireEqual(first, attest(claimAt(EPOCH)));
        bytes32 later = attest(claimAt(EPOCH + 2));
        requireTrue(first != later, "another attestation");
        requireEqual(later, attestor.latestOf(trader, POLICY_ID));
        requireEqual(first, attestor.attestationAt(trader, EPOCH, POLICY_ID));
        requireEqual(0, attestor.attestationAt(trader, EPOCH + 1, POLICY_ID));
        requireEqual(later, attestor.attestationAt(trader, EPOCH + 2, POLICY_ID));
        requireEqual(0, attestor.latestOf(stranger, POLICY_ID));
    }

    function test_epochs_only_rise_even_from_epoch_zero() public {
        vm.prank(owner);
        oracle.publish(universeId, 0, prices, matrix);
        attest(claimAt(0));
        _refuse(claimAt(0), abi.encodeWithSelector(IVarAttestor.EpochNotAfter.selector, 0, 0));
        attest(claimAt(EPOCH + 1));
        _refuse(claimAt(EPOCH), abi.encodeWithSelector(IVarAttestor.EpochNotAfter.selector, EPOCH + 1, EPOCH));
        _refuse(claimAt(EPOCH + 1), abi.encodeWithSelector(IVarAttestor.EpochNotAfter.selector, EPOCH + 1, EPOCH + 1));
        attest(claimAt(EPOCH + 2));
    }

    function test_a_statement_altered_anywhere_is_refused_though_its_own_proof_verifies() public {
        for (uint256 place = 0; place < 9; ++place) {
            uint256[] memory statement = statementOf(claimAt(EPOCH));
            statement[place] = addmod(statement[place], 1, FIELD);
            uint256[8] memory proof = proofOf(statement);
            vm.prank(attester);
            vm.expectRevert(abi.encodeWithSelector(IVarAttestor.ProofRejected.selector));
            attestor.attest(claimAt(EPOCH), prices, matrix, proof);
        }
        attest(claimAt(EPOCH));
    }

    function test_values_beyond_the_field_are_refused() public {
        for (uint256 place = 0; place < 3; ++place) {
            IVarAttestor.Claim memory claim = claimAt(EPOCH);
            uint256[8] memory proof = proofOf(statementOf(claim));
            if (place == 0) claim.positionCommitment += FIELD;
            if (place == 1) claim.r += FIELD;
            if (place == 2) claim.z += FIELD;
            vm.prank(attester);
            vm.expectPartialRevert(IVarAttestor.FieldOverflow.selector);
            attestor.attest(claim, prices, matrix, proof);
        }
    }

    function test_a_claim_must_be_anchored_published_known_and_sent_by_the_logs_attester() public {
        IVarAttestor.Claim memory claim = claimAt(EPOCH);
        claim.anchorIndex = 1;
        _refuse(claim, abi.encodeWithSelector(IVarAttestor.AnchorUnknown.selector, logId, 1, 1));
        claim = claimAt(EPOCH + 9);
        _refuse(claim, abi.encodeWithSelector(IVarAttestor.ReturnsUnpublished.selector, universeId, EPOCH + 9));
        claim = claimAt(EPOCH);
        claim.policyId = keccak256("other");
        _refuse(claim, abi.encodeWithSelector(IVarAttestor.PolicyUnknown.selector, claim.policyId));
        claim = claimAt(EPOCH);
        claim.logId = keccak256("other");
        _refuse(claim, abi.encodeWithSelector(IVarAttestor.NotAttester.selector, claim.logId, attester));
        claim = claimAt(EPOCH);
        uint256[8] memory proof = proofOf(statementOf(claim));
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IVarAttestor.NotAttester.selector, logId, owner));
        attestor.attest(claim, prices, matrix, proof);
    }

    function test_market_data_must_be_the_published_to_the_last_bit() public {
        uint256[8] memory proof = proofOf(statementOf(claimAt(EPOCH)));
        bytes memory altered = bytes.concat(matrix);
        altered[altered.length - 1] ^= 0x01;
        vm.startPrank(attester);
        vm.expectPartialRevert(IVarAttestor.ReturnsIdMismatch.selector);
        attestor.attest(claimAt(EPOCH), prices, altered, proof);
        prices[0] += 1;
        vm.expectPartialRevert(IVarAttestor.ReturnsIdMismatch.selector);
        attestor.attest(claimAt(EPOCH), prices, matrix, proof);
        prices.pop();
        vm.expectPartialRevert(IVarAttestor.PriceCount.selector);
        attestor.attest(claimAt(EPOCH), prices, matrix, proof);
    }

    function test_a_policy_pins_only_what_the_circuits_can_mean() public {
        IVarAttestor.Policy memory wrong = policy();
        wrong.k = 4;
        _undefinable(wrong, IVarAttestor.PolicyTail.selector);
        wrong = policy();
        wrong.tailDenominator = 0;
        _undefinable(wrong, IVarAttestor.PolicyTail.selector);
        wrong = policy();
        (wrong.k, wrong.tailNumerator) = (0, 0);
        _undefinable(wrong, IVarAttestor.PolicyShape.selector);
        wrong = policy();
        (wrong.k, wrong.tailNumerator, wrong.tailDenominator) = (WINDOW + 1, WINDOW + 1, 1);
        _undefinable(wrong, IVarAttestor.PolicyShape.selector);
        wrong = policy();
        wrong.instruments = 6;
        _undefinable(wrong, IVarAttestor.PolicyShape.selector);
        wrong = policy();
        wrong.limitBits = 83;
        _undefinable(wrong, IVarAttestor.PolicyWidths.selector);
        wrong = policy();
        wrong.pnlBits = 84;
        _undefinable(wrong, IVarAttestor.PolicyWidths.selector);
        wrong = policy();
        wrong.quantityBits = 41;
        _undefinable(wrong, IVarAttestor.PolicyWidths.selector);
        wrong = policy();
        wrong.limit = 1 << 82;
        _undefinable(wrong, IVarAttestor.LimitOutOfRange.selector);
        wrong = policy();
        wrong.esLimit = 1 << 82;
        _undefinable(wrong, IVarAttestor.LimitOutOfRange.selector);
        wrong = policy();
        wrong.window = WINDOW + 1;
        _undefinable(wrong, IVarAttestor.UniverseShapeMismatch.selector);
        wrong = policy();
        wrong.verificationKeyHash = 0;
        _undefinable(wrong, IVarAttestor.VerificationKeyMismatch.selector);
        IVarAttestor.Policy memory right = policy();
        vm.startPrank(owner);
        attestor.definePolicy(keccak256("other"), right);
        vm.expectRevert(abi.encodeWithSelector(IVarAttestor.PolicyExists.selector, keccak256("other")));
        attestor.definePolicy(keccak256("other"), right);
        requireEqual(keccak256(abi.encode(right)), keccak256(abi.encode(attestor.policyOf(keccak256("other")))));
    }

    function _undefinable(IVarAttestor.Policy memory wrong, bytes4 reason) private {
        vm.prank(owner);
        vm.expectPartialRevert(reason);
        attestor.definePolicy(keccak256("wrong"), wrong);
    }

    function _refuse(IVarAttestor.Claim memory claim, bytes memory reason) private {
        uint256[8] memory proof = proofOf(statementOf(claim));
        vm.prank(attester);
        vm.expectRevert(reason);
        attestor.attest(claim, prices, matrix, proof);
    }
}
