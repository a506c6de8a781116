// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Rfc9162} from "../../contracts/libraries/Rfc9162.sol";
import {Base} from "./Base.t.sol";
import {Trees} from "./Trees.sol";

contract Rfc9162Test is Base {
    uint256 private constant LARGEST = 70;

    function isConsistent(uint64 first, bytes32 firstRoot, uint64 second, bytes32 secondRoot, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        return Rfc9162.isConsistent(first, firstRoot, second, secondRoot, proof);
    }

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
        requireTrue(!this.isConsistent(first, firstRoot ^ flip, second, secondRoot, proof), "old root");
        requireTrue(!this.isConsistent(first, firstRoot, second, secondRoot ^ flip, proof), "new root");
    }

    function test_equal_smaller_or_empty_trees_have_no_proof() public view {
        bytes32[] memory none = new bytes32[](0);
        bytes32 same = Trees.root(0, 4);
        requireTrue(!this.isConsistent(4, same, 4, same, none), "equal");
        requireTrue(!this.isConsistent(5, Trees.root(0, 5), 4, same, Trees.consistency(4, 5)), "smaller");
        requireTrue(!this.isConsistent(0, bytes32(0), 4, same, one(same)), "empty");
    }

    function holds(uint64 first, uint64 second, bytes32[] memory proof) private view returns (bool) {
        return this.isConsistent(first, Trees.root(0, first), second, Trees.root(0, second), proof);
    }

    function sizes(uint64 first, uint64 second) private pure returns (uint64, uint64) {
        second = uint64(2 + second % (LARGEST - 1));
        return (1 + first % (second - 1), second);
    }
}
