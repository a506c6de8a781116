// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SanctionsPolicy} from "../../contracts/compliance/policies/SanctionsPolicy.sol";
import {ISanctions} from "../../contracts/interfaces/ISanctions.sol";
import {GateWorld} from "./GateWorld.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

contract SanctionsTest is GateWorld {
    bytes32 private constant LIST = keccak256("a list");

    SanctionsPolicy private sanctions;

    function setUp() public override {
        super.setUp();
        sanctions = new SanctionsPolicy(address(engine), owner, issuer);
        addPolicy(gate, sanctions, "account");
    }

    function test_a_listed_account_is_refused_until_it_is_taken_off() public {
        submit(trader, 1);
        vm.prank(issuer);
        sanctions.list(trader, LIST);
        requireEqual(LIST, sanctions.listedOf(trader));
        expectRejected(sanctions, "account is sanctioned", trader, 1);
        submit(stranger, 1);
        vm.prank(issuer);
        sanctions.unlist(trader);
        submit(trader, 1);
    }

    function test_a_newer_list_replaces_the_hash() public {
        vm.startPrank(issuer);
        sanctions.list(trader, LIST);
        sanctions.list(trader, keccak256("a newer list"));
        vm.stopPrank();
        requireEqual(keccak256("a newer list"), sanctions.listedOf(trader));
    }

    function test_a_listing_without_a_hash_or_of_nobody_is_an_error_not_a_silence() public {
        vm.startPrank(issuer);
        vm.expectRevert(abi.encodeWithSelector(ISanctions.ZeroListHash.selector));
        sanctions.list(trader, bytes32(0));
        vm.expectRevert(abi.encodeWithSelector(ISanctions.NotListed.selector, trader));
        sanctions.unlist(trader);
        vm.stopPrank();
    }

    function testFuzz_only_the_lister_lists_and_only_the_owner_names_it(address caller) public {
        vm.assume(caller != owner && caller != issuer);
        address[2] memory others = [caller, owner];
        for (uint256 i = 0; i < others.length; i++) {
            bytes memory refusal = abi.encodeWithSelector(ISanctions.NotLister.selector, others[i]);
            vm.startPrank(others[i]);
            vm.expectRevert(refusal);
            sanctions.list(trader, LIST);
            vm.expectRevert(refusal);
            sanctions.unlist(trader);
            vm.stopPrank();
        }
        others[1] = issuer;
        for (uint256 i = 0; i < others.length; i++) {
            bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, others[i]);
            vm.startPrank(others[i]);
            vm.expectRevert(refusal);
            sanctions.setLister(others[i]);
            vm.expectRevert(refusal);
            sanctions.transferOwnership(others[i]);
            vm.stopPrank();
        }
        vm.prank(owner);
        sanctions.setLister(address(0));
        vm.prank(issuer);
        vm.expectRevert(abi.encodeWithSelector(ISanctions.NotLister.selector, issuer));
        sanctions.list(trader, LIST);
    }
}
