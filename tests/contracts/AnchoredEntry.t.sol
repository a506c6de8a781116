// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AuditAnchor} from "../../contracts/anchor/AuditAnchor.sol";
import {IAuditAnchor} from "../../contracts/interfaces/IAuditAnchor.sol";
import {AnchoredEntry} from "../../contracts/libraries/AnchoredEntry.sol";
import {Base} from "./Base.t.sol";
import {EntryGate} from "./Harnesses.sol";
import {Trees} from "./Trees.sol";

contract AnchoredEntryTest is Base {
    bytes32[] private none;

    AuditAnchor private audit;
    EntryGate private immutable gate = new EntryGate();
    bytes32 private logId;

    function setUp() public {
        audit = new AuditAnchor(owner);
        vm.startPrank(owner);
        logId = audit.registerLog("refi.trading/test", keccak256("key"), one(owner));
        audit.anchor(logId, IAuditAnchor.Head(0, bytes32(0), bytes32(0)), headOf(1), none);
        audit.anchor(logId, headOf(1), headOf(13), Trees.consistency(1, 13));
        vm.stopPrank();
    }

    function testFuzz_every_entry_of_an_anchor_is_let_through(uint64 index) public view {
        index %= 13;
        gate.enter(audit, logId, proofOf(1, index, 13));
    }

    function test_the_only_entry_of_a_log_needs_no_path() public view {
        gate.enter(audit, logId, proofOf(0, 0, 1));
    }

    function testFuzz_another_entry_is_refused(uint64 index, bytes calldata entry) public {
        index %= 13;
        AnchoredEntry.Proof memory proof = proofOf(1, index, 13);
        vm.assume(keccak256(entry) != keccak256(proof.entry));
        proof.entry = entry;
        refuseInclusion(proof);
    }

    function testFuzz_another_place_is_refused(uint64 index, uint64 other) public {
        index %= 13;
        vm.assume(other != index);
        AnchoredEntry.Proof memory proof = proofOf(1, index, 13);
        proof.leafIndex = other;
        refuseInclusion(proof);
    }

    function test_an_inner_node_does_not_pass_for_an_entry() public {
        AnchoredEntry.Proof memory proof = proofOf(1, 0, 13);
        // The bytes under the node over the first two leaves, one level up.
        proof.entry = abi.encodePacked(Trees.leaf(0), Trees.leaf(1));
        bytes32[] memory path = new bytes32[](proof.path.length - 1);
        for (uint256 i = 0; i < path.length; i++) {
            path[i] = proof.path[i + 1];
        }
        proof.path = path;
        refuseInclusion(proof);
    }

    function test_a_head_that_was_not_anchored_is_refused() public {
        AnchoredEntry.Proof memory proof = proofOf(1, 3, 13);
        proof.head = headOf(12);
        proof.path = Trees.inclusion(3, 0, 12);
        refuseHead(logId, proof);
        proof = proofOf(1, 3, 13);
        proof.head.headsRoot = keccak256("other heads");
        refuseHead(logId, proof);
        proof = proofOf(1, 3, 13);
        proof.anchorIndex = 0;
        refuseHead(logId, proof);
    }

    function test_an_anchor_that_is_not_there_shows_nothing() public {
        AnchoredEntry.Proof memory proof = proofOf(2, 3, 13);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.UnknownAnchor.selector, logId, 2));
        gate.enter(audit, logId, proof);
        proof = proofOf(1, 3, 13);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.UnknownAnchor.selector, keccak256("log"), 1));
        gate.enter(audit, keccak256("log"), proof);
    }

    function refuseHead(bytes32 log, AnchoredEntry.Proof memory proof) private {
        vm.expectPartialRevert(AnchoredEntry.NotAnchored.selector);
        gate.enter(audit, log, proof);
    }

    function refuseInclusion(AnchoredEntry.Proof memory proof) private {
        vm.expectPartialRevert(AnchoredEntry.NotIncluded.selector);
        gate.enter(audit, logId, proof);
    }

    function proofOf(uint256 anchorIndex, uint64 leafIndex, uint64 size)
        private
        pure
        returns (AnchoredEntry.Proof memory)
    {
        return AnchoredEntry.Proof({
            anchorIndex: anchorIndex,
            head: headOf(size),
            entry: abi.encode(leafIndex),
            leafIndex: leafIndex,
            path: Trees.inclusion(leafIndex, 0, size)
        });
    }

    function headOf(uint64 size) private pure returns (IAuditAnchor.Head memory) {
        return IAuditAnchor.Head(size, Trees.root(0, size), sha256(abi.encode(size)));
    }
}
