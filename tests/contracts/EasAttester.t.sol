// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IEAS} from "../../contracts/interfaces/IEAS.sol";
import {ISchemaRegistry} from "../../contracts/interfaces/ISchemaRegistry.sol";
import {IVarAttestor} from "../../contracts/interfaces/IVarAttestor.sol";
import {EasAttester} from "../../contracts/risk/EasAttester.sol";
import {VarAttestor} from "../../contracts/risk/VarAttestor.sol";
import {VarWorld} from "./VarAttestor.t.sol";

/// @notice The real service at its predeploy's address, from its own bytecode
contract EasAttesterTest is VarWorld {
    address private constant REGISTRY = 0x4200000000000000000000000000000000000020;
    address private constant SERVICE = 0x4200000000000000000000000000000000000021;
    string private constant SCHEMA = "bytes32 attestationId,address subject,uint64 epoch,bytes32 policyId,"
        "uint256 positionCommitment,bytes32 returnsId,bytes32 previous";

    error InvalidAttestation();

    function setUp() public override {
        vm.etch(REGISTRY, _create(_bytecode("SchemaRegistry")).code);
        vm.etch(SERVICE, _create(bytes.concat(_bytecode("EAS"), abi.encode(REGISTRY))).code);
        super.setUp();
    }

    function test_an_attestation_appears_in_the_service_with_its_data() public {
        IVarAttestor.Claim memory claim = claimAt(EPOCH);
        bytes32 expected = idOf(claim);
        bytes32 uid = _uidOf(claim, expected, 0);
        vm.expectEmit();
        emit EasAttester.EasAttested(expected, uid);
        attest(claim);
        IEAS.Attestation memory kept = IEAS(SERVICE).getAttestation(uid);
        requireEqual(uid, kept.uid);
        requireEqual(keccak256(abi.encodePacked(SCHEMA, address(attestor), false)), kept.schema);
        requireEqual(kept.schema, attestor.SCHEMA());
        requireEqual(trader, kept.recipient);
        requireEqual(address(attestor), kept.attester);
        requireTrue(!kept.revocable && kept.expirationTime == 0 && kept.refUID == 0, "for ever");
        requireEqual(keccak256(_dataOf(claim, expected, 0)), keccak256(kept.data));

        claim = claimAt(EPOCH + 1);
        bytes32 later = idOf(claim);
        attest(claim);
        kept = IEAS(SERVICE).getAttestation(_uidOf(claim, later, expected));
        requireEqual(keccak256(_dataOf(claim, later, expected)), keccak256(kept.data));
    }

    function test_nobody_else_attests_under_the_schema() public {
        bytes memory data = _dataOf(claimAt(EPOCH), keccak256("forged"), 0);
        IEAS.AttestationRequest memory request =
            IEAS.AttestationRequest(attestor.SCHEMA(), IEAS.AttestationRequestData(trader, 0, false, 0, data, 0));
        address[3] memory others = [stranger, owner, attester];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(InvalidAttestation.selector));
            IEAS(SERVICE).attest(request);
        }
    }

    function test_the_resolver_answers_the_service_alone_and_lets_nothing_be_revoked() public {
        IEAS.Attestation memory own;
        own.attester = address(attestor);
        requireTrue(!attestor.attest(own), "not the service");
        vm.startPrank(SERVICE);
        requireTrue(attestor.attest(own), "the service, about the attestor's own");
        requireTrue(!attestor.revoke(own), "no revocation");
        requireTrue(!attestor.multiRevoke(new IEAS.Attestation[](1), new uint256[](1)), "nor of many");
        requireTrue(!attestor.multiAttest(new IEAS.Attestation[](1), new uint256[](1)), "one at a time");
        requireTrue(!attestor.isPayable(), "nothing to pay");
        own.attester = stranger;
        requireTrue(!attestor.attest(own), "another attester");
    }

    function test_a_service_that_fails_in_any_way_does_not_block() public {
        bytes[6] memory failures = [
            bytes(hex"5f5ffd"), // reverts
            bytes(hex"fe"), // takes all gas
            bytes(hex"5b5f56"), // loops
            bytes(hex"00"), // answers nothing
            bytes(hex"60405ff3"), // answers too much
            bytes(hex"") // is gone
        ];
        bytes32 previous;
        for (uint256 i = 0; i < failures.length; ++i) {
            vm.etch(SERVICE, failures[i]);
            IVarAttestor.Claim memory claim = claimAt(EPOCH + uint64(i));
            if (i > 2) {
                vm.prank(owner);
                oracle.publish(universeId, claim.epoch, prices, matrix);
            }
            bytes32 expected = idOf(claim);
            vm.expectEmit();
            emit EasAttester.EasFailed(expected);
            requireEqual(expected, attest(claim));
            requireTrue(expected != previous, "a new one");
            requireEqual(expected, attestor.latestOf(trader, POLICY_ID));
            previous = expected;
        }
    }

    function test_an_answer_of_any_length_costs_the_attestation_nothing() public {
        IVarAttestor.Claim memory claim = claimAt(EPOCH);
        uint256[8] memory proof = proofOf(statementOf(claim));
        vm.etch(SERVICE, hex"620640005ff3"); // 400 kB, whose copy would take all the gas that is left
        bytes32 expected = idOf(claim);
        vm.prank(attester);
        requireEqual(expected, attestor.attest{gas: 1_000_000}(claim, prices, matrix, proof));
    }

    function test_gas_that_the_service_would_run_out_of_is_refused_beforehand() public {
        IVarAttestor.Claim memory claim = claimAt(EPOCH);
        uint256[8] memory proof = proofOf(statementOf(claim));
        vm.prank(attester);
        vm.expectPartialRevert(EasAttester.TooLittleGas.selector);
        attestor.attest{gas: 900_000}(claim, prices, matrix, proof);
        uint256 before = gasleft();
        vm.prank(attester);
        attestor.attest(claim, prices, matrix, proof);
        requireTrue(before - gasleft() < 900_000, "though it takes less");
    }

    function test_a_schema_that_somebody_registered_before_is_used_all_the_same() public {
        address next = _nextContract();
        vm.prank(stranger);
        bytes32 uid = ISchemaRegistry(REGISTRY).register(SCHEMA, next, false);
        VarAttestor late = new VarAttestor(owner, oracle, audit);
        requireEqual(next, address(late));
        requireEqual(uid, late.SCHEMA());
    }

    function test_where_only_an_empty_proxy_or_something_else_stands_there_is_no_schema() public {
        bytes[3] memory others = [
            bytes(hex"5f5ffd"), // a predeploy's proxy without an implementation: reverts
            bytes(hex"00"), // answers nothing
            bytes(hex"60ff5f5260405ff3") // answers two words of its own
        ];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.etch(REGISTRY, others[i]);
            requireEqual(0, new VarAttestor(owner, oracle, audit).SCHEMA());
        }
        vm.etch(REGISTRY, _create(_bytecode("SchemaRegistry")).code);
        requireTrue(new VarAttestor(owner, oracle, audit).SCHEMA() != 0, "the service itself");
    }

    /// @dev The address of the next contract made, from one made and undone.
    function _nextContract() private returns (address next) {
        try this.makeAndUndo() {}
        catch (bytes memory made) {
            next = abi.decode(made, (address));
        }
    }

    function makeAndUndo() external {
        bytes memory made = abi.encode(new VarAttestor(owner, oracle, audit));
        assembly ("memory-safe") {
            revert(add(made, 32), mload(made))
        }
    }

    function _dataOf(IVarAttestor.Claim memory claim, bytes32 attestationId, bytes32 previous)
        private
        view
        returns (bytes memory)
    {
        bytes32 returnsId = oracle.returnsIdOf(universeId, claim.epoch);
        return abi.encode(
            attestationId, claim.subject, claim.epoch, claim.policyId, claim.positionCommitment, returnsId, previous
        );
    }

    /// @dev As the service computes it.
    function _uidOf(IVarAttestor.Claim memory claim, bytes32 attestationId, bytes32 previous)
        private
        view
        returns (bytes32)
    {
        bytes memory data = _dataOf(claim, attestationId, previous);
        uint64 time = uint64(block.timestamp);
        return keccak256(
            abi.encodePacked(
                attestor.SCHEMA(), trader, address(attestor), time, uint64(0), false, bytes32(0), data, uint32(0)
            )
        );
    }

    function _bytecode(string memory name) private view returns (bytes memory) {
        return vm.parseJsonBytes(vm.readFile(string.concat("tests/vectors/eas/", name, ".json")), ".bytecode");
    }

    function _create(bytes memory creation) private returns (address made) {
        assembly ("memory-safe") {
            made := create(0, add(creation, 32), mload(creation))
        }
        requireTrue(made != address(0), "created");
    }
}
