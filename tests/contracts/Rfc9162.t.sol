// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Rfc9162} from "../../contracts/libraries/Rfc9162.sol";
import {Base} from "./Base.t.sol";
import {TreeHarness} from "./Harnesses.sol";
import {Trees} from "./Trees.sol";

contract Rfc9162Test is Base {
    uint256 private constant LARGEST = 70;

    TreeHarness private immutable trees = new TreeHarness();

    function test_a_node_is_the_hash_of_a_one_byte_and_its_children() public view {
        bytes32 expected = sha256(abi.encodePacked(bytes1(0x01), bytes32(uint256(1)), bytes32(uint256(2))));
        requireEqual(expected, Rfc9162.nodeOf(bytes32(uint256(1)), bytes32(uint256(2))));
    }

    function test_every_small_tree_extends_every_smaller_one() public view {
        for (uint64 second = 2; second <= 20; second++) {
            for (uint64 first = 1; first < second; first++) {
                requireTrue(holds(first, second, Trees.consistency(first, second)), "a true proof is accepted");
            }
        }
    }

    function testFuzz_a_true_proof_is_accepted(uint64 first, uint64 second) public view {
        (first, second) = sizes(first, second);
        requireTrue(holds(first, second, Trees.consistency(first, second)), "a true proof is accepted");
    }

    function testFuzz_a_changed_proof_is_refused(uint64 first, uint64 second, uint256 place, uint256 bit) public view {
        (first, second) = sizes(first, second);
        bytes32[] memory proof = Trees.consistency(first, second);
        proof[place % proof.length] ^= bytes32(1 << (bit % 256));
        requireTrue(!holds(first, second, proof), "a changed proof is refused");
    }

    function testFuzz_a_longer_or_shorter_proof_is_refused(uint64 first, uint64 second, bytes32 extra) public view {
        (first, second) = sizes(first, second);
        bytes32[] memory proof = Trees.consistency(first, second);
        bytes32[] memory longer = new bytes32[](proof.length + 1);
        bytes32[] memory shorter = new bytes32[](proof.length - 1);
        for (uint256 i = 0; i < proof.length; i++) {
            longer[i] = proof[i];
            if (i < shorter.length) shorter[i] = proof[i];
        }
        longer[proof.length] = extra;
        requireTrue(!holds(first, second, longer), "a longer proof is refused");
        requireTrue(!holds(first, second, shorter), "a shorter proof is refused");
    }

    function testFuzz_another_root_is_refused(uint64 first, uint64 second, uint256 bit) public view {
        (first, second) = sizes(first, second);
        bytes32 firstRoot = Trees.root(0, first);
        bytes32 secondRoot = Trees.root(0, second);
        bytes32 flip = bytes32(1 << (bit % 256));
        bytes32[] memory proof = Trees.consistency(first, second);
        requireTrue(!trees.isConsistent(first, firstRoot ^ flip, second, secondRoot, proof), "old root");
        requireTrue(!trees.isConsistent(first, firstRoot, second, secondRoot ^ flip, proof), "new root");
    }

    function test_equal_smaller_or_empty_trees_have_no_proof() public view {
        bytes32[] memory none = new bytes32[](0);
        bytes32 same = Trees.root(0, 4);
        requireTrue(!trees.isConsistent(4, same, 4, same, none), "equal");
        requireTrue(!trees.isConsistent(5, Trees.root(0, 5), 4, same, Trees.consistency(4, 5)), "smaller");
        requireTrue(!trees.isConsistent(0, bytes32(0), 4, same, one(same)), "empty");
    }

    function test_an_entry_is_hashed_after_a_zero_byte() public view {
        requireEqual(sha256(hex"00"), trees.leafOf(""));
        requireEqual(sha256(hex"00616263"), trees.leafOf("abc"));
    }

    function test_every_leaf_of_every_small_tree_is_included_and_nowhere_else() public view {
        for (uint64 size = 1; size <= 12; size++) {
            for (uint64 index = 0; index < size; index++) {
                bytes32[] memory path = Trees.inclusion(index, 0, size);
                for (uint64 place = 0; place < size + 2; place++) {
                    requireTrue(isIn(index, place, size, path) == (place == index), "only at its own place");
                }
            }
        }
    }

    function testFuzz_a_leaf_is_included(uint64 index, uint64 size) public view {
        (index, size) = leafAndSize(index, size);
        requireTrue(isIn(index, index, size, Trees.inclusion(index, 0, size)), "a true path is accepted");
    }

    function testFuzz_a_changed_path_is_refused(uint64 index, uint64 size, uint256 place, uint256 bit) public view {
        (index, size) = leafAndSize(index, size);
        bytes32[] memory path = Trees.inclusion(index, 0, size);
        path[place % path.length] ^= bytes32(1 << (bit % 256));
        requireTrue(!isIn(index, index, size, path), "a changed path is refused");
    }

    function testFuzz_a_longer_or_shorter_path_is_refused(uint64 index, uint64 size, bytes32 extra) public view {
        (index, size) = leafAndSize(index, size);
        bytes32[] memory path = Trees.inclusion(index, 0, size);
        requireTrue(!isIn(index, index, size, Trees.append(path, extra)), "a longer path is refused");
        bytes32[] memory shorter = new bytes32[](path.length - 1);
        bytes32[] memory later = new bytes32[](path.length - 1);
        for (uint256 i = 0; i < shorter.length; i++) {
            (shorter[i], later[i]) = (path[i], path[i + 1]);
        }
        requireTrue(!isIn(index, index, size, shorter), "a path without its end is refused");
        requireTrue(!isIn(index, index, size, later), "a path without its beginning is refused");
    }

    function testFuzz_a_size_that_changes_the_shape_is_refused(uint64 index, uint64 size, uint64 other) public view {
        (index, size) = leafAndSize(index, size);
        bytes32[] memory path = Trees.inclusion(index, 0, size);
        other = 1 + other % (2 * uint64(LARGEST));
        bool isSameShape = index < other && Trees.inclusion(index, 0, other).length == path.length;
        vm.assume(!isSameShape);
        bytes32 root = Trees.root(0, size);
        requireTrue(!trees.isIncluded(Trees.leaf(index), index, other, path, root), "another shape is refused");
    }

    function test_a_root_is_no_leaf_of_its_tree() public view {
        bytes32 root = Trees.root(0, 8);
        for (uint64 index = 0; index < 8; index++) {
            requireTrue(!trees.isIncluded(root, index, 8, new bytes32[](0), root), "a root is no leaf");
        }
        requireTrue(!trees.isIncluded(root, 0, 0, new bytes32[](0), root), "an empty tree has no leaf");
    }

    function testFuzz_a_path_beyond_every_size_is_refused(bytes32[65] calldata nodes, uint64 index) public view {
        bytes32[] memory path = new bytes32[](65);
        for (uint256 i = 0; i < 65; i++) {
            path[i] = nodes[i];
        }
        uint64 largest = type(uint64).max;
        requireTrue(!trees.isIncluded(nodes[0], index, largest, path, nodes[1]), "no tree is that high");
        requireTrue(!trees.isConsistent(1 + index / 2, nodes[0], largest, nodes[1], path), "no tree is that high");
    }

    function isIn(uint64 leaf, uint64 place, uint64 size, bytes32[] memory path) private view returns (bool) {
        return trees.isIncluded(Trees.leaf(leaf), place, size, path, Trees.root(0, size));
    }

    function leafAndSize(uint64 index, uint64 size) private pure returns (uint64, uint64) {
        size = uint64(2 + size % (LARGEST - 1));
        return (index % size, size);
    }

    function holds(uint64 first, uint64 second, bytes32[] memory proof) private view returns (bool) {
        return trees.isConsistent(first, Trees.root(0, first), second, Trees.root(0, second), proof);
    }

    function sizes(uint64 first, uint64 second) private pure returns (uint64, uint64) {
        second = uint64(2 + second % (LARGEST - 1));
        return (1 + first % (second - 1), second);
    }
}
