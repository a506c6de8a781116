// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {L1AnchorVerifier} from "../../contracts/anchor/L1AnchorVerifier.sol";
import {IAuditAnchor} from "../../contracts/interfaces/IAuditAnchor.sol";
import {IL1AnchorVerifier} from "../../contracts/interfaces/IL1AnchorVerifier.sol";
import {AnchoredEntry} from "../../contracts/libraries/AnchoredEntry.sol";
import {Base} from "./Base.t.sol";
import {EntryGate} from "./Harnesses.sol";
import {StandInGame, StandInRegistry} from "./OptimismStandIns.sol";
import {Trees} from "./Trees.sol";
import {RLP} from "@openzeppelin/contracts/utils/RLP.sol";
import {TrieProof} from "@openzeppelin/contracts/utils/cryptography/TrieProof.sol";

/// @notice Tries of one leaf, whose root is the hash of their only node: states that no honest chain has can be shown
contract L1AnchorVerifierTest is Base {
    using RLP for RLP.Encoder;

    uint256 private constant L2 = 42069;
    address private immutable audit = roleOf("audit anchor");
    StandInRegistry private immutable registry = new StandInRegistry();
    EntryGate private immutable gate = new EntryGate();
    L1AnchorVerifier private verifier;

    function setUp() public {
        verifier = new L1AnchorVerifier(address(registry), audit, L2);
    }

    function test_a_verifier_of_nothing_is_not_deployed() public {
        vm.expectRevert(abi.encodeWithSelector(IL1AnchorVerifier.NoContract.selector, stranger));
        new L1AnchorVerifier(stranger, audit, L2);
        vm.expectRevert(abi.encodeWithSelector(IL1AnchorVerifier.NoContract.selector, address(0)));
        new L1AnchorVerifier(address(registry), address(0), L2);
    }

    function testFuzz_a_stored_word_is_proven(bytes32 logId, uint256 index, bytes32 word) public {
        vm.assume(word != bytes32(0));
        requireEqual(word, prove(logId, index, word));
        requireEqual(word, verifier.provenAt(logId, index));
        requireEqual(0, uint256(verifier.provenAt(logId, index ^ 1)));
    }

    function test_a_slot_that_holds_zero_is_no_anchor() public {
        (
            address game,
            IL1AnchorVerifier.OutputRootPreimage memory preimage,
            bytes[] memory account,
            bytes[] memory slot
        ) = stateOf("log", 0, RLP.encode(uint256(0)));
        vm.expectRevert(abi.encodeWithSelector(IL1AnchorVerifier.NothingAnchored.selector, bytes32("log"), 0));
        verifier.prove(game, preimage, "log", 0, account, slot);
    }

    function test_a_proven_word_is_never_replaced() public {
        prove("log", 0, "word");
        (
            address game,
            IL1AnchorVerifier.OutputRootPreimage memory preimage,
            bytes[] memory account,
            bytes[] memory slot
        ) = stateOf("log", 0, RLP.encode(uint256(bytes32("other"))));
        vm.expectRevert(
            abi.encodeWithSelector(
                IL1AnchorVerifier.WordChanged.selector, bytes32("log"), 0, bytes32("word"), bytes32("other")
            )
        );
        verifier.prove(game, preimage, "log", 0, account, slot);
        requireEqual("word", verifier.provenAt("log", 0));
    }

    function test_a_game_that_is_withdrawn_later_leaves_what_was_proven() public {
        (
            address game,
            IL1AnchorVerifier.OutputRootPreimage memory preimage,
            bytes[] memory account,
            bytes[] memory slot
        ) = stateOf("log", 0, RLP.encode(uint256(7)));
        verifier.prove(game, preimage, "log", 0, account, slot);
        registry.settle(StandInGame(game), false);
        requireEqual(7, uint256(verifier.provenAt("log", 0)));
        vm.expectRevert(abi.encodeWithSelector(IL1AnchorVerifier.GameNotValid.selector, game));
        verifier.prove(game, preimage, "log", 1, account, slot);
    }

    function test_the_refusal_says_what_the_reader_stumbled_over() public {
        (
            address game,
            IL1AnchorVerifier.OutputRootPreimage memory preimage,
            bytes[] memory account,
            bytes[] memory slot
        ) = stateOf("log", 0, RLP.encode(uint256(7)));
        bytes memory cause = abi.encodeWithSelector(
            TrieProof.TrieProofTraversalError.selector, TrieProof.ProofError.INVALID_PATH_REMAINDER
        );
        bytes32 other = verifier.slotOf("log", 1);
        vm.expectRevert(
            abi.encodeWithSelector(IL1AnchorVerifier.WordNotProven.selector, other, keccak256(slot[0]), cause)
        );
        verifier.prove(game, preimage, "log", 1, account, slot);
    }

    function test_an_entry_is_shown_on_l1_once_its_anchor_is_proven() public {
        bytes32 logId = verifier.logIdOf("refi.trading/test", "key");
        requireEqual(keccak256(abi.encode("refi.trading/test", bytes32("key"), L2, audit)), logId);
        AnchoredEntry.Proof memory proof = AnchoredEntry.Proof({
            anchorIndex: 3,
            head: IAuditAnchor.Head(9, Trees.root(0, 9), "heads"),
            entry: abi.encode(uint256(5)),
            leafIndex: 5,
            path: Trees.inclusion(5, 0, 9)
        });
        bytes32 word = keccak256(abi.encode(logId, 3, proof.head));
        vm.expectRevert(abi.encodeWithSelector(AnchoredEntry.NotAnchored.selector, logId, 3, bytes32(0), word));
        gate.enterOnL1(verifier, logId, proof);
        prove(logId, 3, word);
        gate.enterOnL1(verifier, logId, proof);
    }

    function prove(bytes32 logId, uint256 index, bytes32 word) private returns (bytes32) {
        (
            address game,
            IL1AnchorVerifier.OutputRootPreimage memory preimage,
            bytes[] memory account,
            bytes[] memory slot
        ) = stateOf(logId, index, RLP.encode(uint256(word)));
        return verifier.prove(game, preimage, logId, index, account, slot);
    }

    function stateOf(bytes32 logId, uint256 index, bytes memory value)
        private
        returns (
            address game,
            IL1AnchorVerifier.OutputRootPreimage memory preimage,
            bytes[] memory accountProof,
            bytes[] memory storageProof
        )
    {
        storageProof = leafOf(keccak256(abi.encode(verifier.slotOf(logId, index))), value);
        RLP.Encoder memory account = RLP.encoder();
        account.push(uint256(1)).push(uint256(0)).push(keccak256(storageProof[0])).push(keccak256("code"));
        accountProof = leafOf(keccak256(abi.encodePacked(audit)), account.encode());
        preimage = IL1AnchorVerifier.OutputRootPreimage(bytes32(0), keccak256(accountProof[0]), "passer", "block");
        game = address(new StandInGame(keccak256(abi.encode(preimage))));
        registry.settle(StandInGame(game), true);
    }

    function leafOf(bytes32 hashedKey, bytes memory value) private pure returns (bytes[] memory nodes) {
        RLP.Encoder memory leaf = RLP.encoder();
        // Of the hex prefixes, 0x20 is that of a leaf with an even number of nibbles left.
        leaf.push(abi.encodePacked(bytes1(0x20), hashedKey)).push(value);
        nodes = new bytes[](1);
        nodes[0] = leaf.encode();
    }
}
