// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AuditAnchor} from "../../contracts/anchor/AuditAnchor.sol";
import {IAuditAnchor} from "../../contracts/interfaces/IAuditAnchor.sol";
import {Base} from "./Base.t.sol";
import {Trees} from "./Trees.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

contract AuditAnchorTest is Base {
    string private constant ORIGIN = "refi.trading/test";
    bytes32 private constant KEY = keccak256("key");
    bytes32[] private none;

    AuditAnchor private audit;
    bytes32 private logId;
    address private immutable anchorer = roleOf("anchorer");

    function setUp() public {
        audit = new AuditAnchor(owner);
        vm.prank(owner);
        logId = audit.registerLog(ORIGIN, KEY, one(anchorer));
    }

    function test_a_log_id_binds_origin_key_chain_and_contract() public view {
        requireEqual(keccak256(abi.encode(ORIGIN, KEY, block.chainid, address(audit))), logId);
    }

    function test_only_the_owner_registers_logs_and_names_anchorers() public {
        vm.startPrank(stranger);
        bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger);
        vm.expectRevert(refusal);
        audit.registerLog("other", KEY, one(stranger));
        vm.expectRevert(refusal);
        audit.registerSuccessor(logId, "other", KEY, one(stranger));
        vm.expectRevert(refusal);
        audit.setAnchorer(logId, stranger, true);
    }

    function test_a_log_is_registered_once() public {
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.LogExists.selector, logId));
        audit.registerLog(ORIGIN, KEY, one(anchorer));
    }

    function test_the_first_anchor_stores_one_word_and_says_so() public {
        IAuditAnchor.Head memory head = headOf(5);
        vm.expectEmit();
        emit IAuditAnchor.Anchored(logId, 0, 5, head.root, head.headsRoot);
        accept(logId, IAuditAnchor.Head(0, bytes32(0), bytes32(0)), head, none);
        requireEqual(1, audit.anchorCount(logId));
        requireEqual(
            keccak256(abi.encode(logId, uint256(0), head.size, head.root, head.headsRoot)), audit.anchorAt(logId, 0)
        );
    }

    function testFuzz_anchors_follow_one_another(uint64 a, uint64 b, uint64 c) public {
        a = 1 + a % 20;
        b = a + 1 + b % 20;
        c = b + 1 + c % 20;
        anchor(0, a);
        anchor(a, b);
        anchor(b, c);
        IAuditAnchor.Head memory head = headOf(c);
        requireEqual(3, audit.anchorCount(logId));
        requireEqual(
            keccak256(abi.encode(logId, uint256(2), head.size, head.root, head.headsRoot)), audit.anchorAt(logId, 2)
        );
    }

    function test_only_anchorers_anchor() public {
        refuse(
            abi.encodeWithSelector(IAuditAnchor.NotAnchorer.selector, logId, stranger),
            stranger,
            logId,
            headOf(0),
            headOf(5),
            none
        );
    }

    function test_a_dismissed_anchorer_does_not_anchor() public {
        vm.prank(owner);
        audit.setAnchorer(logId, anchorer, false);
        refuse(
            abi.encodeWithSelector(IAuditAnchor.NotAnchorer.selector, logId, anchorer),
            anchorer,
            logId,
            headOf(0),
            headOf(5),
            none
        );
    }

    function testFuzz_a_tree_that_does_not_grow_is_refused(uint64 next) public {
        next %= 6;
        anchor(0, 5);
        refuse(
            abi.encodeWithSelector(IAuditAnchor.SizeNotRising.selector, 5, next),
            anchorer,
            logId,
            headOf(5),
            headOf(next),
            none
        );
    }

    function test_a_forked_tree_is_refused() public {
        anchor(0, 5);
        IAuditAnchor.Head memory fork = headOf(9);
        fork.root = keccak256("fork");
        refuse(
            abi.encodeWithSelector(IAuditAnchor.Inconsistent.selector, 5, 9),
            anchorer,
            logId,
            headOf(5),
            fork,
            Trees.consistency(5, 9)
        );
    }

    function test_the_first_anchor_takes_no_proof() public {
        refuse(
            abi.encodeWithSelector(IAuditAnchor.Inconsistent.selector, 0, 9),
            anchorer,
            logId,
            headOf(0),
            headOf(9),
            Trees.consistency(5, 9)
        );
    }

    function test_a_previous_head_that_was_not_anchored_last_is_refused() public {
        anchor(0, 5);
        anchor(5, 7);
        refusePrevious(logId, headOf(5), headOf(9), Trees.consistency(5, 9));
        IAuditAnchor.Head memory otherHeads = headOf(7);
        otherHeads.headsRoot = keccak256("other heads");
        refusePrevious(logId, otherHeads, headOf(9), Trees.consistency(7, 9));
        refusePrevious(logId, headOf(0), headOf(9), none);
    }

    function test_a_fresh_log_takes_no_previous_head() public {
        refusePrevious(logId, headOf(5), headOf(9), Trees.consistency(5, 9));
    }

    function test_an_anchor_that_is_not_there_is_not_answered_for() public {
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.UnknownAnchor.selector, logId, 0));
        audit.anchorAt(logId, 0);
    }

    function test_a_successor_goes_on_where_its_predecessor_ends() public {
        anchor(0, 5);
        bytes32 successor = succeed(logId, "second key");
        refuse(
            abi.encodeWithSelector(IAuditAnchor.LogSucceeded.selector, logId, successor),
            anchorer,
            logId,
            headOf(5),
            headOf(9),
            Trees.consistency(5, 9)
        );
        refusePrevious(successor, headOf(0), headOf(9), none);
        accept(successor, headOf(5), headOf(9), Trees.consistency(5, 9));
        accept(successor, headOf(9), headOf(11), Trees.consistency(9, 11));
        requireEqual(2, audit.anchorCount(successor));
        requireEqual(logId, audit.predecessorOf(successor));
    }

    function testFuzz_a_successor_extends_whatever_its_predecessor_anchored(uint64 a, uint64 b, uint64 c) public {
        a = 1 + a % 30;
        b = a + 1 + b % 30;
        c = b + 1 + c % 30;
        anchor(0, a);
        bytes32 successor = succeed(logId, "second key");
        accept(successor, headOf(a), headOf(b), Trees.consistency(a, b));
        bytes32 third = succeed(successor, "third key");
        refusePrevious(third, headOf(a), headOf(c), Trees.consistency(a, c));
        accept(third, headOf(b), headOf(c), Trees.consistency(b, c));
        IAuditAnchor.Head memory head = headOf(c);
        requireEqual(
            keccak256(abi.encode(third, uint256(0), head.size, head.root, head.headsRoot)), audit.anchorAt(third, 0)
        );
    }

    function test_a_successor_neither_forks_nor_shrinks_the_log_before_it() public {
        anchor(0, 5);
        bytes32 successor = succeed(logId, "second key");
        IAuditAnchor.Head memory fork = headOf(9);
        fork.root = keccak256("fork");
        bytes32[] memory proof = Trees.consistency(5, 9);
        refuse(
            abi.encodeWithSelector(IAuditAnchor.Inconsistent.selector, 5, 9),
            anchorer,
            successor,
            headOf(5),
            fork,
            proof
        );
        refuse(
            abi.encodeWithSelector(IAuditAnchor.Inconsistent.selector, 5, 9),
            anchorer,
            successor,
            headOf(5),
            headOf(9),
            none
        );
        refuse(
            abi.encodeWithSelector(IAuditAnchor.SizeNotRising.selector, 5, 4),
            anchorer,
            successor,
            headOf(5),
            headOf(4),
            none
        );
        requireEqual(0, audit.anchorCount(successor));
    }

    function test_a_successor_has_anchorers_of_its_own() public {
        anchor(0, 5);
        vm.prank(owner);
        bytes32 successor = audit.registerSuccessor(logId, ORIGIN, keccak256("second key"), one(relay));
        refuse(
            abi.encodeWithSelector(IAuditAnchor.NotAnchorer.selector, successor, anchorer),
            anchorer,
            successor,
            headOf(5),
            headOf(9),
            none
        );
    }

    function test_a_successor_of_an_unused_successor_extends_the_log_before_both() public {
        anchor(0, 5);
        bytes32 third = succeed(succeed(logId, "second key"), "third key");
        refusePrevious(third, headOf(0), headOf(9), none);
        accept(third, headOf(5), headOf(9), Trees.consistency(5, 9));
    }

    function test_a_log_has_one_successor() public {
        bytes32 successor = succeed(logId, "second key");
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.LogSucceeded.selector, logId, successor));
        audit.registerSuccessor(logId, ORIGIN, keccak256("third key"), one(anchorer));
    }

    function anchor(uint64 previous, uint64 next) private {
        accept(logId, headOf(previous), headOf(next), previous == 0 ? none : Trees.consistency(previous, next));
    }

    /// @dev Arguments are made before the cheat codes: the SHA-256 precompile would use them up.
    function accept(
        bytes32 id,
        IAuditAnchor.Head memory previous,
        IAuditAnchor.Head memory next,
        bytes32[] memory proof
    ) private {
        vm.prank(anchorer);
        audit.anchor(id, previous, next, proof);
    }

    function refuse(
        bytes memory refusal,
        address caller,
        bytes32 id,
        IAuditAnchor.Head memory previous,
        IAuditAnchor.Head memory next,
        bytes32[] memory proof
    ) private {
        vm.prank(caller);
        vm.expectRevert(refusal);
        audit.anchor(id, previous, next, proof);
    }

    function refusePrevious(
        bytes32 id,
        IAuditAnchor.Head memory previous,
        IAuditAnchor.Head memory next,
        bytes32[] memory proof
    ) private {
        vm.prank(anchorer);
        vm.expectPartialRevert(IAuditAnchor.WrongPrevious.selector);
        audit.anchor(id, previous, next, proof);
    }

    function succeed(bytes32 predecessor, string memory key) private returns (bytes32) {
        vm.prank(owner);
        return audit.registerSuccessor(predecessor, ORIGIN, keccak256(bytes(key)), one(anchorer));
    }

    function headOf(uint64 size) private pure returns (IAuditAnchor.Head memory) {
        if (size == 0) return IAuditAnchor.Head(0, bytes32(0), bytes32(0));
        return IAuditAnchor.Head(size, Trees.root(0, size), sha256(abi.encode(size)));
    }
}
