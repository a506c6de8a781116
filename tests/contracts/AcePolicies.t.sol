// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AllowPolicy} from "../../contracts/compliance/policies/AllowPolicy.sol";
import {AuthorizedSenderPolicy} from "../../contracts/compliance/policies/AuthorizedSenderPolicy.sol";
import {BypassPolicy} from "../../contracts/compliance/policies/BypassPolicy.sol";
import {IntervalPolicy} from "../../contracts/compliance/policies/IntervalPolicy.sol";
import {MaxPolicy} from "../../contracts/compliance/policies/MaxPolicy.sol";
import {PausePolicy} from "../../contracts/compliance/policies/PausePolicy.sol";
import {RejectPolicy} from "../../contracts/compliance/policies/RejectPolicy.sol";
import {RolePolicy} from "../../contracts/compliance/policies/RolePolicy.sol";
import {VolumePolicy} from "../../contracts/compliance/policies/VolumePolicy.sol";
import {IPolicy} from "../../contracts/interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../contracts/interfaces/IPolicyEngine.sol";
import {Base} from "./Base.t.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @notice The rules that ACE has too, each alone
contract AcePoliciesTest is Base {
    bytes4 private constant TRADE = bytes4(keccak256("trade()"));
    bytes32 private constant DESK = keccak256("DESK");
    uint256 private constant HOUR = 3600;

    AllowPolicy private allow;
    BypassPolicy private bypass;
    RejectPolicy private reject;
    MaxPolicy private max;
    RolePolicy private role;
    IntervalPolicy private interval;

    function setUp() public {
        allow = new AllowPolicy(address(this), owner);
        bypass = new BypassPolicy(address(this), owner);
        reject = new RejectPolicy(address(this), owner);
        max = new MaxPolicy(address(this), owner, 1000);
        role = new RolePolicy(address(this), owner);
        interval = new IntervalPolicy(address(this), owner, 9, 17, IntervalPolicy.Cycle(HOUR, 24, 0));
    }

    function testFuzz_a_list_counts_every_address_that_it_is_given(address[4] memory accounts, uint8 listed) public {
        bytes[] memory given = new bytes[](4);
        uint256 count = 0;
        vm.startPrank(owner);
        for (uint256 i = 0; i < 4; i++) {
            given[i] = abi.encode(accounts[i]);
            if (listed >> i & 1 == 0 || allow.addressAllowed(accounts[i])) continue;
            allow.allowAddress(accounts[i]);
            bypass.allowAddress(accounts[i]);
            reject.rejectAddress(accounts[i]);
        }
        vm.stopPrank();
        for (uint256 i = 0; i < 4; i++) {
            if (allow.addressAllowed(accounts[i])) count++;
        }
        bool isBypassed = ask(bypass, given) == IPolicyEngine.PolicyResult.Allowed;
        requireTrue(isBypassed == (count == 4), "bypass: all or none");
        if (count < 4) expectReason("address is not on allow list");
        ask(allow, given);
        if (count > 0) expectReason("address is on reject list");
        ask(reject, given);
    }

    function test_lists_need_an_address_and_change_with_every_entry() public {
        bytes[] memory none = new bytes[](0);
        IPolicy[3] memory policies = [IPolicy(allow), bypass, reject];
        for (uint256 i = 0; i < 3; i++) {
            vm.expectRevert(abi.encodeWithSelector(IPolicy.InvalidParameters.selector, "expected at least 1 parameter"));
            ask(policies[i], none);
        }
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IPolicy.Unchanged.selector));
        allow.disallowAddress(trader);
        vm.expectRevert(abi.encodeWithSelector(IPolicy.Unchanged.selector));
        bypass.disallowAddress(trader);
        vm.expectRevert(abi.encodeWithSelector(IPolicy.Unchanged.selector));
        reject.unrejectAddress(trader);
        allow.allowAddress(trader);
        vm.expectRevert(abi.encodeWithSelector(IPolicy.Unchanged.selector));
        allow.allowAddress(trader);
    }

    function testFuzz_an_amount_passes_up_to_the_maximum(uint256 amount, uint256 maximum) public {
        vm.prank(owner);
        max.setMax(maximum);
        requireEqual(maximum, max.getMax());
        if (amount > maximum) expectReason("amount exceeds maximum limit");
        ask(max, values(abi.encode(amount)));
    }

    function testFuzz_a_volume_of_zero_has_no_maximum(uint256 amount, uint256 minimum) public {
        VolumePolicy volume = new VolumePolicy(address(this), owner, minimum, 0);
        if (amount < minimum) expectReason("amount outside allowed volume limits");
        ask(volume, values(abi.encode(amount)));
    }

    function test_only_the_owner_lifts_the_maximum_and_limits_never_meet() public {
        VolumePolicy volume = new VolumePolicy(address(this), owner, 10, 1000);
        vm.startPrank(owner);
        volume.setSteward(guardian);
        vm.expectRevert(abi.encodeWithSelector(VolumePolicy.InvalidLimits.selector, 1000, 1000));
        volume.setMin(1000);
        vm.expectRevert(abi.encodeWithSelector(VolumePolicy.InvalidLimits.selector, 10, 10));
        volume.setMax(10);
        vm.expectRevert(abi.encodeWithSelector(IPolicy.Unchanged.selector));
        volume.setMax(1000);
        vm.expectRevert(abi.encodeWithSelector(IPolicy.Unchanged.selector));
        volume.setMin(10);
        vm.stopPrank();
        vm.startPrank(guardian);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, guardian));
        volume.setMax(0);
        volume.setMax(900);
        vm.stopPrank();
        vm.prank(owner);
        volume.setMax(0);
        requireEqual(0, volume.getMax());
    }

    function testFuzz_a_role_permits_its_functions_only(bytes4 operation, address caller, bool hasIt) public {
        vm.startPrank(owner);
        role.grantOperationAllowanceToRole(TRADE, DESK);
        if (hasIt) role.grantRole(DESK, caller);
        vm.stopPrank();
        if (!hasIt || operation != TRADE) expectReason("caller lacks required role for operation");
        role.run(caller, address(this), operation, new bytes[](0), "");
    }

    function test_roles_and_their_allowances_have_owners() public {
        vm.startPrank(stranger);
        bytes memory notOwner = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger);
        vm.expectRevert(notOwner);
        role.grantOperationAllowanceToRole(TRADE, DESK);
        vm.expectRevert(notOwner);
        role.removeOperationAllowanceFromRole(TRADE, DESK);
        vm.expectRevert(
            abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, stranger, bytes32(0))
        );
        role.grantRole(DESK, stranger);
        vm.stopPrank();
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IPolicy.Unchanged.selector));
        role.removeOperationAllowanceFromRole(TRADE, DESK);
        role.grantOperationAllowanceToRole(TRADE, DESK);
        vm.expectRevert(abi.encodeWithSelector(IPolicy.Unchanged.selector));
        role.grantOperationAllowanceToRole(TRADE, DESK);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IPolicy.InvalidParameters.selector, "expected 0 parameters"));
        ask(role, values(abi.encode(TRADE)));
    }

    function testFuzz_orders_pass_in_the_interval_of_every_cycle(uint32 time, uint8 offset, uint8 first, uint8 last)
        public
    {
        uint256 shift = offset % 24;
        uint256 start = first % 24;
        uint256 end = start + 1 + last % (24 - start);
        interval = new IntervalPolicy(address(this), owner, start, end, IntervalPolicy.Cycle(HOUR, 24, shift));
        vm.warp(time);
        // As ACE's documentation states it
        uint256 slot = (time / HOUR % 24 + shift) % 24;
        if (slot < start || slot >= end) expectReason("execution outside allowed time interval");
        interval.run(relay, address(this), TRADE, new bytes[](0), "");
    }

    function testFuzz_an_unsound_interval_is_refused(uint8 start, uint8 end, uint8 size, uint8 offset, uint8 length)
        public
    {
        IntervalPolicy.Cycle memory cycle = IntervalPolicy.Cycle(length, size, offset);
        bool isSound = length > 0 && start < end && end <= size && offset < size;
        if (!isSound) {
            vm.expectRevert(abi.encodeWithSelector(IntervalPolicy.InvalidInterval.selector, start, end, cycle));
        }
        new IntervalPolicy(address(this), owner, start, end, cycle);
    }

    function test_an_interval_stays_sound_when_it_is_changed() public {
        IntervalPolicy.Cycle memory day = IntervalPolicy.Cycle(HOUR, 24, 0);
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IntervalPolicy.InvalidInterval.selector, 17, 17, day));
        interval.setStartSlot(17);
        vm.expectRevert(abi.encodeWithSelector(IntervalPolicy.InvalidInterval.selector, 9, 25, day));
        interval.setEndSlot(25);
        day.cycleOffset = 24;
        vm.expectRevert(abi.encodeWithSelector(IntervalPolicy.InvalidInterval.selector, 9, 17, day));
        interval.setCycleParameters(HOUR, 24, 24);
        interval.setStartSlot(0);
        interval.setEndSlot(7);
        interval.setCycleParameters(1 days, 7, 4);
        vm.stopPrank();
        (uint256 length, uint256 size, uint256 offset) = interval.getCycleParameters();
        requireEqual(1 days, length);
        requireEqual(7, size);
        requireEqual(4, offset);
    }

    function test_nobody_but_the_owner_configures() public {
        vm.startPrank(stranger);
        bytes memory notOwner = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger);
        vm.expectRevert(notOwner);
        allow.allowAddress(stranger);
        vm.expectRevert(notOwner);
        allow.disallowAddress(stranger);
        vm.expectRevert(notOwner);
        bypass.allowAddress(stranger);
        vm.expectRevert(notOwner);
        bypass.disallowAddress(stranger);
        vm.expectRevert(notOwner);
        reject.rejectAddress(stranger);
        vm.expectRevert(notOwner);
        reject.unrejectAddress(stranger);
        vm.expectRevert(notOwner);
        max.setMax(1);
        vm.expectRevert(notOwner);
        interval.setStartSlot(1);
        vm.expectRevert(notOwner);
        interval.setEndSlot(10);
        vm.expectRevert(notOwner);
        interval.setCycleParameters(1, 24, 0);
    }

    function test_a_switch_or_an_entry_that_changes_nothing_is_refused() public {
        PausePolicy pause = new PausePolicy(address(this), guardian, false);
        AuthorizedSenderPolicy senders = new AuthorizedSenderPolicy(address(this), owner, one(relay));
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(IPolicy.Unchanged.selector));
        pause.setPausedState(false);
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IPolicy.Unchanged.selector));
        senders.authorizeSender(relay);
        vm.expectRevert(abi.encodeWithSelector(IPolicy.Unchanged.selector));
        senders.unauthorizeSender(stranger);
    }

    function ask(IPolicy policy, bytes[] memory given) private view returns (IPolicyEngine.PolicyResult) {
        return policy.run(relay, address(this), TRADE, given, "");
    }

    function values(bytes memory value) private pure returns (bytes[] memory list) {
        list = new bytes[](1);
        list[0] = value;
    }

    function expectReason(string memory reason) private {
        vm.expectRevert(abi.encodeWithSelector(IPolicyEngine.PolicyRejected.selector, reason));
    }
}
