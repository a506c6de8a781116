// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IReturnsOracle} from "../../contracts/interfaces/IReturnsOracle.sol";
import {ReturnsOracle} from "../../contracts/risk/ReturnsOracle.sol";
import {Base} from "./Base.t.sol";

contract ReturnsOracleTest is Base {
    uint64 private constant EPOCH = 17_000;

    address private immutable first = roleOf("first publisher");
    address private immutable second = roleOf("second publisher");

    ReturnsOracle private oracle;
    bytes32 private universeId;
    bytes32 private returnsId;

    function setUp() public {
        oracle = new ReturnsOracle(owner);
        bytes32[] memory instruments = new bytes32[](4);
        universeId = keccak256(abi.encode(instruments));
        uint256[] memory prices = new uint256[](4);
        for (uint256 n = 0; n < 4; ++n) {
            prices[n] = 1 + n;
        }
        vm.startPrank(owner);
        oracle.registerUniverse(universeId, instruments, 2);
        oracle.setPublisher(first, true);
        oracle.setPublisher(second, true);
        vm.stopPrank();
        vm.prank(first);
        returnsId = oracle.publish(universeId, EPOCH, prices, new bytes(24));
    }

    function test_a_second_publisher_stands_by_a_matrix_once() public {
        requireEqual(first, oracle.publisherOf(universeId, EPOCH));
        requireTrue(!oracle.isCountersigned(universeId, EPOCH), "not yet");
        vm.prank(second);
        vm.expectEmit();
        emit IReturnsOracle.Countersigned(universeId, EPOCH, returnsId, second);
        oracle.countersign(universeId, EPOCH, returnsId);
        requireTrue(oracle.isCountersigned(universeId, EPOCH), "now");
        requireEqual(returnsId, oracle.returnsIdOf(universeId, EPOCH));
        requireEqual(first, oracle.publisherOf(universeId, EPOCH));
        _refuse(
            second, returnsId, abi.encodeWithSelector(IReturnsOracle.AlreadyCountersigned.selector, universeId, EPOCH)
        );
    }

    function test_nobody_countersigns_for_another_or_for_themselves() public {
        _refuse(first, returnsId, abi.encodeWithSelector(IReturnsOracle.OwnMatrix.selector, first));
        _refuse(stranger, returnsId, abi.encodeWithSelector(IReturnsOracle.NotPublisher.selector, stranger));
        _refuse(owner, returnsId, abi.encodeWithSelector(IReturnsOracle.NotPublisher.selector, owner));
        bytes32 other = keccak256("other");
        _refuse(second, other, abi.encodeWithSelector(IReturnsOracle.OtherPublished.selector, returnsId, other));
        vm.prank(owner);
        oracle.setPublisher(second, false);
        _refuse(second, returnsId, abi.encodeWithSelector(IReturnsOracle.NotPublisher.selector, second));
        requireTrue(!oracle.isCountersigned(universeId, EPOCH), "nobody did");
    }

    function test_nothing_is_countersigned_before_it_is_published() public {
        requireEqual(address(0), oracle.publisherOf(universeId, EPOCH + 1));
        bytes32[2] memory ids = [bytes32(0), returnsId];
        for (uint256 i = 0; i < ids.length; ++i) {
            vm.prank(second);
            vm.expectRevert(abi.encodeWithSelector(IReturnsOracle.NotPublished.selector, universeId, EPOCH + 1));
            oracle.countersign(universeId, EPOCH + 1, ids[i]);
        }
    }

    function _refuse(address publisher, bytes32 id, bytes memory reason) private {
        vm.prank(publisher);
        vm.expectRevert(reason);
        oracle.countersign(universeId, EPOCH, id);
    }
}
