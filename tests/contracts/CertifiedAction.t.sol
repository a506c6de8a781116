// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CertifiedActionPolicy} from "../../contracts/compliance/policies/CertifiedActionPolicy.sol";
import {ICertifiedActionValidator} from "../../contracts/interfaces/ICertifiedActionValidator.sol";
import {IPolicy} from "../../contracts/interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../contracts/interfaces/IPolicyEngine.sol";
import {Base} from "./Base.t.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice The cheat codes for keys
interface VmKeys {
    function addr(uint256 key) external pure returns (address);
    function chainId(uint256 id) external;
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
}

/// @notice Permits: good ones once, and nothing else
contract CertifiedActionTest is Base {
    VmKeys private constant KEYS = VmKeys(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant ISSUER = 0xA11CE;
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    bytes4 private constant TRADE = bytes4(keccak256("trade(uint256)"));
    bytes32 private constant ID = keccak256("permit 1");
    string private constant IN_CONTEXT = "invalid signed permit in context";
    string private constant PRESENTED = "no valid pre-presented permit found";

    CertifiedActionPolicy private permits;

    function setUp() public {
        vm.warp(1_800_000_000);
        permits = new CertifiedActionPolicy(address(this), owner, one(KEYS.addr(ISSUER)));
    }

    function testFuzz_a_permit_is_used_as_often_as_it_says(uint8 maxUses, uint8 tries) public {
        ICertifiedActionValidator.Permit memory permit = permitOf(ID, 7);
        permit.maxUses = maxUses;
        bytes memory context = contextOf(permit, signed(permit, ISSUER));
        for (uint256 i = 0; i < tries % 16; i++) {
            bool isOver = maxUses != 0 && i >= maxUses;
            if (isOver) expectReason(IN_CONTEXT);
            permits.run(relay, address(this), TRADE, permit.parameters, context);
            if (isOver) continue;
            permits.postRun(relay, address(this), TRADE, permit.parameters, context);
            requireEqual(i + 1, permits.getUsage(ID));
        }
    }

    function testFuzz_a_permit_is_for_its_action_only(address caller, address subject, bytes4 selector, uint256 amount)
        public
    {
        ICertifiedActionValidator.Permit memory permit = permitOf(ID, 7);
        bytes memory context = contextOf(permit, signed(permit, ISSUER));
        permits.run(relay, address(this), TRADE, permit.parameters, context);
        if (caller != relay || subject != address(this) || selector != TRADE || amount != 7) expectReason(IN_CONTEXT);
        permits.run(caller, subject, selector, values(amount), context);
    }

    function test_the_same_bytes_split_otherwise_are_another_action() public {
        ICertifiedActionValidator.Permit memory permit = permitOf(ID, 7);
        permit.parameters = new bytes[](2);
        (permit.parameters[0], permit.parameters[1]) = (abi.encode(7), abi.encode(8));
        bytes memory signature = signed(permit, ISSUER);
        bytes[] memory joined = new bytes[](1);
        joined[0] = abi.encode(7, 8);
        permits.run(relay, address(this), TRADE, permit.parameters, contextOf(permit, signature));
        expectReason(IN_CONTEXT);
        permits.run(relay, address(this), TRADE, joined, contextOf(permit, signature));
        permit.parameters = joined;
        refuse(permit, signature);
    }

    function testFuzz_a_permit_ends_after_its_last_second(uint48 expiry, uint48 time) public {
        ICertifiedActionValidator.Permit memory permit = permitOf(ID, 7);
        permit.expiry = expiry;
        bytes memory signature = signed(permit, ISSUER);
        vm.warp(time);
        bool isOver = expiry != 0 && time > expiry;
        requireTrue(permits.check(permit, signature) == !isOver, "checked");
        if (isOver) {
            expectReason(IN_CONTEXT);
            permits.run(relay, address(this), TRADE, permit.parameters, contextOf(permit, signature));
            vm.expectRevert(abi.encodeWithSelector(ICertifiedActionValidator.PermitExpired.selector, ID, expiry));
        }
        permits.present(permit, signature);
    }

    function test_a_permits_last_second_is_its_expiry() public {
        ICertifiedActionValidator.Permit memory permit = permitOf(ID, 7);
        bytes memory signature = signed(permit, ISSUER);
        bytes memory context = contextOf(permit, signature);
        vm.warp(permit.expiry);
        permits.run(relay, address(this), TRADE, permit.parameters, context);
        permits.present(permit, signature);
        permits.run(relay, address(this), TRADE, permit.parameters, "");
        vm.warp(uint256(permit.expiry) + 1);
        refusePresented(permit);
        requireTrue(!permits.check(permit, signature), "over");
    }

    function testFuzz_nobody_else_signs(uint256 key, uint256 bit) public {
        key = 1 + key % (ORDER - 1);
        vm.assume(key != ISSUER);
        ICertifiedActionValidator.Permit memory permit = permitOf(ID, 7);
        refuse(permit, signed(permit, key));
        // Nor does a signature say anything about another permit.
        bytes memory signature = signed(permit, ISSUER);
        permit.permitId ^= bytes32(1 << bit % 256);
        refuse(permit, signature);
    }

    function testFuzz_a_permit_does_not_leave_its_chain_or_its_contract(uint64 chain) public {
        vm.assume(chain != block.chainid && chain != 0);
        ICertifiedActionValidator.Permit memory permit = permitOf(ID, 7);
        bytes memory signature = signed(permit, ISSUER);
        CertifiedActionPolicy other = new CertifiedActionPolicy(address(this), owner, one(KEYS.addr(ISSUER)));
        requireTrue(permits.check(permit, signature), "here");
        requireTrue(!other.check(permit, signature), "not there");
        KEYS.chainId(chain);
        requireTrue(!permits.check(permit, signature), "nor on another chain");
    }

    function test_high_s_wrong_length_and_no_signer_are_refused() public {
        ICertifiedActionValidator.Permit memory permit = permitOf(ID, 7);
        (uint8 v, bytes32 r, bytes32 s) = KEYS.sign(ISSUER, permits.hashTypedDataV4Permit(permit));
        bytes32 high = bytes32(ORDER - uint256(s));
        bytes4 malformed = CertifiedActionPolicy.InvalidSignatureFormat.selector;
        vm.expectRevert(abi.encodeWithSelector(malformed, ECDSA.RecoverError.InvalidSignatureS, high));
        permits.check(permit, abi.encodePacked(r, high, 55 - v));
        vm.expectRevert(abi.encodeWithSelector(malformed, ECDSA.RecoverError.InvalidSignatureLength, 64));
        permits.present(permit, abi.encodePacked(r, s));
        vm.expectRevert(abi.encodeWithSelector(malformed, ECDSA.RecoverError.InvalidSignature, 0));
        permits.run(relay, address(this), TRADE, permit.parameters, contextOf(permit, new bytes(65)));
    }

    function test_a_presented_permit_stands_for_its_intent_alone() public {
        ICertifiedActionValidator.Permit memory first = permitOf(ID, 7);
        ICertifiedActionValidator.Permit memory second = permitOf(keccak256("permit 2"), 7);
        vm.prank(stranger);
        permits.present(first, signed(first, ISSUER));
        permits.run(relay, address(this), TRADE, first.parameters, "");
        permits.postRun(relay, address(this), TRADE, first.parameters, "");
        bytes memory context = contextOf(second, signed(second, ISSUER));
        expectReason(PRESENTED);
        permits.run(relay, address(this), TRADE, first.parameters, context);
        permits.present(second, signed(second, ISSUER));
        permits.run(relay, address(this), TRADE, first.parameters, "");
        expectReason("no valid permit found");
        permits.run(relay, address(this), TRADE, values(8), "");
    }

    function test_a_spent_or_known_permit_takes_no_good_ones_place() public {
        ICertifiedActionValidator.Permit memory spent = permitOf(ID, 7);
        bytes memory signature = signed(spent, ISSUER);
        permits.postRun(relay, address(this), TRADE, spent.parameters, contextOf(spent, signature));
        ICertifiedActionValidator.Permit memory good = permitOf(keccak256("permit 2"), 7);
        permits.present(good, signed(good, ISSUER));
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(ICertifiedActionValidator.PermitExpired.selector, ID, spent.expiry));
        permits.present(spent, signature);
        bytes memory again = signed(good, ISSUER);
        vm.expectRevert(
            abi.encodeWithSelector(ICertifiedActionValidator.PermitAlreadyPresented.selector, good.permitId)
        );
        permits.present(good, again);
        vm.stopPrank();
        permits.run(relay, address(this), TRADE, good.parameters, "");
    }

    function test_a_permit_that_another_displaced_is_presented_again_with_the_rest_of_its_uses() public {
        ICertifiedActionValidator.Permit memory lasting = permitOf(ID, 7);
        lasting.maxUses = 2;
        ICertifiedActionValidator.Permit memory brief = permitOf(keccak256("permit 2"), 7);
        (bytes memory forLasting, bytes memory forBrief) = (signed(lasting, ISSUER), signed(brief, ISSUER));
        permits.present(lasting, forLasting);
        permits.postRun(relay, address(this), TRADE, lasting.parameters, "");
        vm.prank(stranger);
        permits.present(brief, forBrief);
        permits.postRun(relay, address(this), TRADE, lasting.parameters, "");
        refusePresented(lasting);
        permits.present(lasting, forLasting);
        permits.run(relay, address(this), TRADE, lasting.parameters, "");
        permits.postRun(relay, address(this), TRADE, lasting.parameters, "");
        refusePresented(lasting);
        requireEqual(2, permits.getUsage(ID));
    }

    function test_an_id_that_an_issuer_signs_twice_is_one_permit() public {
        ICertifiedActionValidator.Permit memory first = permitOf(ID, 7);
        ICertifiedActionValidator.Permit memory wider = permitOf(ID, 8);
        wider.maxUses = 9;
        bytes memory signature = signed(wider, ISSUER);
        permits.present(first, signed(first, ISSUER));
        vm.expectRevert(abi.encodeWithSelector(ICertifiedActionValidator.PermitAlreadyPresented.selector, ID));
        permits.present(wider, signature);
        permits.postRun(relay, address(this), TRADE, first.parameters, "");
        ICertifiedActionValidator.Permit memory other = permitOf(keccak256("permit 2"), 8);
        permits.present(other, signed(other, ISSUER));
        permits.present(wider, signature);
        refusePresented(first);
        refusePresented(wider);
    }

    function test_a_revoked_permit_and_a_dismissed_issuers_permits_are_worthless() public {
        ICertifiedActionValidator.Permit memory permit = permitOf(ID, 7);
        bytes memory signature = signed(permit, ISSUER);
        permits.present(permit, signature);
        vm.prank(owner);
        permits.disAllowIssuer(abi.encode(KEYS.addr(ISSUER)));
        refusePresented(permit);
        vm.prank(owner);
        permits.allowIssuer(abi.encode(KEYS.addr(ISSUER)));
        permits.run(relay, address(this), TRADE, permit.parameters, "");
        vm.prank(owner);
        permits.revoke(ID);
        refusePresented(permit);
        requireTrue(!permits.check(permit, signature), "revoked");
        ICertifiedActionValidator.Permit memory never = permitOf(keccak256("permit 2"), 8);
        vm.prank(owner);
        permits.revoke(never.permitId);
        bytes memory other = signed(never, ISSUER);
        vm.expectRevert(abi.encodeWithSelector(ICertifiedActionValidator.PermitAlreadyRevoked.selector, never.permitId));
        permits.present(never, other);
    }

    function test_issuers_are_the_owners_choice_and_never_the_zero_address() public {
        bytes memory key = abi.encode(KEYS.addr(ISSUER));
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(ICertifiedActionValidator.IssuerAllowedAlreadySet.selector, key, true));
        permits.allowIssuer(key);
        vm.expectRevert(abi.encodeWithSelector(CertifiedActionPolicy.ZeroIssuer.selector));
        permits.allowIssuer(abi.encode(address(0)));
        permits.disAllowIssuer(key);
        requireTrue(!permits.getIssuerAllowed(key), "dismissed");
        vm.stopPrank();
        vm.startPrank(stranger);
        bytes memory notOwner = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger);
        vm.expectRevert(notOwner);
        permits.allowIssuer(key);
        vm.expectRevert(notOwner);
        permits.disAllowIssuer(key);
        vm.expectRevert(notOwner);
        permits.revoke(ID);
        vm.expectRevert(abi.encodeWithSelector(IPolicy.Unauthorized.selector));
        permits.postRun(relay, address(this), TRADE, new bytes[](0), "");
        vm.stopPrank();
        address[] memory nobody = new address[](1);
        vm.expectRevert(abi.encodeWithSelector(CertifiedActionPolicy.ZeroIssuer.selector));
        new CertifiedActionPolicy(address(this), owner, nobody);
    }

    function permitOf(bytes32 id, uint256 amount)
        private
        view
        returns (ICertifiedActionValidator.Permit memory permit)
    {
        permit = ICertifiedActionValidator.Permit({
            permitId: id,
            caller: relay,
            subject: address(this),
            selector: TRADE,
            parameters: values(amount),
            metadata: "",
            maxUses: 1,
            expiry: uint48(block.timestamp + 1 days)
        });
    }

    function signed(ICertifiedActionValidator.Permit memory permit, uint256 key) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = KEYS.sign(key, permits.hashTypedDataV4Permit(permit));
        return abi.encodePacked(r, s, v);
    }

    function contextOf(ICertifiedActionValidator.Permit memory permit, bytes memory signature)
        private
        pure
        returns (bytes memory)
    {
        return abi.encode(ICertifiedActionValidator.SignedPermit(permit, signature));
    }

    function refuse(ICertifiedActionValidator.Permit memory permit, bytes memory signature) private {
        requireTrue(!permits.check(permit, signature), "checked");
        expectReason(IN_CONTEXT);
        permits.run(relay, address(this), TRADE, permit.parameters, contextOf(permit, signature));
        vm.expectRevert(abi.encodeWithSelector(ICertifiedActionValidator.InvalidSignature.selector, permit.permitId));
        permits.present(permit, signature);
    }

    function refusePresented(ICertifiedActionValidator.Permit memory permit) private {
        expectReason(PRESENTED);
        permits.run(relay, address(this), TRADE, permit.parameters, "");
    }

    function values(uint256 amount) private pure returns (bytes[] memory list) {
        list = new bytes[](1);
        list[0] = abi.encode(amount);
    }

    function expectReason(string memory reason) private {
        vm.expectRevert(abi.encodeWithSelector(IPolicyEngine.PolicyRejected.selector, reason));
    }
}
