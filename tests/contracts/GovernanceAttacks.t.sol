// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ModelRegistry} from "../../contracts/governance/ModelRegistry.sol";
import {RefiGovernor} from "../../contracts/governance/RefiGovernor.sol";
import {RefiTimelock} from "../../contracts/governance/RefiTimelock.sol";
import {RefiToken} from "../../contracts/governance/RefiToken.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {Base} from "./Base.t.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice The cheat codes that keys and storage need
interface KeyVm {
    function addr(uint256 privateKey) external pure returns (address);
    function load(address target, bytes32 slot) external view returns (bytes32);
    function sign(uint256 privateKey, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
}

/// @notice Lends everything it holds for one call
contract FlashLender {
    RefiToken public immutable token;

    error NotReturned();

    constructor(RefiToken refi) {
        token = refi;
    }

    function lend(FlashBorrower borrower) external {
        uint256 all = token.balanceOf(address(this));
        if (!token.transfer(address(borrower), all)) revert NotReturned();
        borrower.spend();
        if (token.balanceOf(address(this)) < all) revert NotReturned();
    }
}

/// @notice Does in one transaction what borrowed votes are good for, and gives them back
contract FlashBorrower {
    RefiToken private immutable token;
    address private immutable lender;
    address private immutable target;
    bytes private action;
    bool public succeeded;
    bytes public answer;

    error NotReturned();

    constructor(RefiToken refi, address from, address to, bytes memory data) {
        (token, lender, target, action) = (refi, from, to, data);
    }

    function spend() external {
        token.delegate(address(this));
        if (target != address(0)) (succeeded, answer) = target.call(action);
        if (!token.transfer(lender, token.balanceOf(address(this)))) revert NotReturned();
    }

    function voteLater(IGovernor governor, uint256 id) external {
        governor.castVote(id, 1);
    }
}

/// @notice What somebody without a majority tries; the contracts are the deployed ones, OpenZeppelin's inside
contract GovernanceAttacksTest is Base {
    KeyVm private constant KEYS = KeyVm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bytes32 private constant MODEL = keccak256("a model");
    bytes32 private constant BALLOT = keccak256("Ballot(uint256 proposalId,uint8 support,address voter,uint256 nonce)");
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    bytes32 private constant DELEGATION = keccak256("Delegation(address delegatee,uint256 nonce,uint256 expiry)");
    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    bytes32 private constant IMPLEMENTATION_SLOT = bytes32(uint256(keccak256("eip1967.proxy.implementation")) - 1);
    string private constant WHY = "Promote a model";
    uint256 private constant SUPPLY = 1_000_000e18;
    uint256 private constant THRESHOLD = 1_000e18;
    uint256 private constant KEY = uint256(keccak256("a voter's key"));

    RefiToken private token;
    RefiTimelock private timelock;
    RefiGovernor private governor;
    ModelRegistry private models;
    FlashLender private lender;
    address private immutable voter = roleOf("voter");
    address private immutable rival = roleOf("rival");
    address private immutable signer = KEYS.addr(KEY);

    function setUp() public {
        vm.warp(1_451_606_400);
        token = new RefiToken(address(this), SUPPLY);
        timelock = new RefiTimelock(1 days, new address[](0), one(address(0)), address(this));
        governor = new RefiGovernor(token, timelock, THRESHOLD, guardian);
        timelock.grantRole(timelock.PROPOSER_ROLE(), address(governor));
        timelock.grantRole(timelock.CANCELLER_ROLE(), address(governor));
        timelock.grantRole(timelock.CANCELLER_ROLE(), guardian);
        timelock.renounceRole(timelock.DEFAULT_ADMIN_ROLE(), address(this));
        models = new ModelRegistry(address(timelock), guardian, one(relay));
        lender = new FlashLender(token);
        give(voter, 50_000e18);
        give(rival, 50_000e18);
        give(signer, 30_000e18);
        move(address(lender), 500_000e18);
        move(address(timelock), token.balanceOf(address(this)));
        pass(1);
        vm.prank(relay);
        models.propose(MODEL, "torch", keccak256("schema"), "report");
    }

    // Borrowed, moved and doubled votes

    function test_votes_borrowed_for_one_transaction_count_nothing() public {
        uint256 id = opened();
        FlashBorrower borrower = borrowed(address(governor), abi.encodeCall(IGovernor.castVote, (id, uint8(1))));
        requireTrue(borrower.succeeded(), "the vote was taken");
        requireEqual(0, inFavour(id));
    }

    function test_votes_borrowed_in_the_second_of_the_snapshot_count_nothing() public {
        uint256 id = propose(voter, WHY);
        vm.warp(governor.proposalSnapshot(id));
        FlashBorrower borrower = borrowed(address(0), "");
        pass(1);
        borrower.voteLater(governor, id);
        requireEqual(0, inFavour(id));
    }

    function test_borrowed_votes_do_not_propose() public {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions(MODEL);
        bytes memory proposal = abi.encodeCall(IGovernor.propose, (targets, values, calls, WHY));
        FlashBorrower borrower = borrowed(address(governor), proposal);
        requireTrue(!borrower.succeeded(), "refused");
        bytes memory refusal = abi.encodeWithSelector(
            IGovernor.GovernorInsufficientProposerVotes.selector, address(borrower), 0, THRESHOLD
        );
        requireEqual(keccak256(refusal), keccak256(borrower.answer()));
    }

    function test_tokens_that_move_on_after_a_vote_do_not_vote_again() public {
        uint256 id = opened();
        vm.prank(voter);
        governor.castVote(id, 1);
        vm.prank(voter);
        requireTrue(token.transfer(stranger, 50_000e18), "moved");
        vm.startPrank(stranger);
        token.delegate(stranger);
        vm.stopPrank();
        pass(1);
        vm.prank(stranger);
        governor.castVote(id, 1);
        requireEqual(50_000e18, inFavour(id));
    }

    function test_nobody_votes_twice() public {
        uint256 id = opened();
        vm.startPrank(voter);
        governor.castVote(id, 1);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorAlreadyCastVote.selector, voter));
        governor.castVote(id, 0);
    }

    function test_tokens_delegated_to_nobody_and_the_treasurys_count_nothing() public {
        requireEqual(0, token.getVotes(address(timelock)));
        requireTrue(token.balanceOf(address(timelock)) > 0, "it holds tokens");
        vm.prank(voter);
        token.delegate(address(0));
        requireEqual(0, token.getVotes(voter));
        requireEqual(0, token.getVotes(address(0)));
        pass(1);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions(MODEL);
        vm.prank(voter);
        vm.expectRevert(
            abi.encodeWithSelector(IGovernor.GovernorInsufficientProposerVotes.selector, voter, 0, THRESHOLD)
        );
        governor.propose(targets, values, calls, WHY);
    }

    function test_a_late_quorum_extends_the_vote_once_only() public {
        uint256 id = opened();
        uint256 deadline = governor.proposalDeadline(id);
        vm.warp(deadline - 1);
        vote(voter, id);
        uint256 extended = governor.proposalDeadline(id);
        requireEqual(deadline - 1 + 1 days, extended);
        vm.warp(extended - 1);
        vm.prank(rival);
        governor.castVote(id, 0);
        requireEqual(extended, governor.proposalDeadline(id));
    }

    // Who proposes, cancels and carries out

    function test_who_copies_a_proposal_first_can_cancel_it_unless_its_text_names_the_proposer() public {
        // Without a name in the text the copy is the proposal, and the copier its proposer.
        uint256 copied = propose(rival, WHY);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions(MODEL);
        vm.prank(rival);
        governor.cancel(targets, values, calls, keccak256(bytes(WHY)));
        requireEqual(uint256(IGovernor.ProposalState.Canceled), uint256(governor.state(copied)));
        string memory named = string.concat(WHY, "\n\n#proposer=", Strings.toHexString(voter));
        vm.prank(rival);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorRestrictedProposer.selector, rival));
        governor.propose(targets, values, calls, named);
        uint256 id = propose(voter, named);
        requireEqual(voter, governor.proposalProposer(id));
    }

    function test_only_its_proposer_cancels_and_only_before_the_vote() public {
        uint256 id = propose(voter, WHY);
        refuseCancel(id, rival);
        vm.warp(governor.proposalSnapshot(id) + 1);
        refuseCancel(id, voter);
    }

    function test_the_guardian_cancels_even_what_waits_in_the_timelock() public {
        uint256 id = queued();
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions(MODEL);
        vm.prank(guardian);
        governor.cancel(targets, values, calls, keccak256(bytes(WHY)));
        pass(1 days);
        vm.expectPartialRevert(IGovernor.GovernorUnexpectedProposalState.selector);
        governor.execute(targets, values, calls, keccak256(bytes(WHY)));
        vm.expectPartialRevert(TimelockController.TimelockUnexpectedOperationState.selector);
        timelock.executeBatch(targets, values, calls, bytes32(0), saltOf(WHY));
        requireEqual(uint256(IGovernor.ProposalState.Canceled), uint256(governor.state(id)));
    }

    function test_the_guardian_neither_proposes_nor_schedules_nor_executes_early() public {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions(MODEL);
        vm.startPrank(guardian);
        vm.expectRevert(
            abi.encodeWithSelector(IGovernor.GovernorInsufficientProposerVotes.selector, guardian, 0, THRESHOLD)
        );
        governor.propose(targets, values, calls, WHY);
        refuseRole(guardian, timelock.PROPOSER_ROLE());
        timelock.scheduleBatch(targets, values, calls, bytes32(0), bytes32(0), 1 days);
        vm.stopPrank();
        queued();
        vm.prank(guardian);
        vm.expectPartialRevert(TimelockController.TimelockUnexpectedOperationState.selector);
        governor.execute(targets, values, calls, keccak256(bytes(WHY)));
    }

    function test_what_is_carried_out_is_what_was_voted_on() public {
        queued();
        pass(1 days);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions(keccak256("another model"));
        vm.expectPartialRevert(IGovernor.GovernorNonexistentProposal.selector);
        governor.execute(targets, values, calls, keccak256(bytes(WHY)));
        (targets, values, calls) = actions(MODEL);
        vm.expectPartialRevert(IGovernor.GovernorNonexistentProposal.selector);
        governor.execute(targets, values, calls, keccak256("another text"));
        governor.execute(targets, values, calls, keccak256(bytes(WHY)));
        requireTrue(models.isApproved(MODEL), "the one that was voted on");
    }

    // The timelock

    function test_nothing_goes_past_the_timelock() public {
        uint256 id = opened();
        vote(voter, id);
        vm.warp(governor.proposalDeadline(id) + 1);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions(MODEL);
        // Never queued.
        vm.expectPartialRevert(IGovernor.GovernorUnexpectedProposalState.selector);
        governor.execute(targets, values, calls, keccak256(bytes(WHY)));
        vm.expectPartialRevert(TimelockController.TimelockUnexpectedOperationState.selector);
        timelock.executeBatch(targets, values, calls, bytes32(0), saltOf(WHY));
        vm.startPrank(voter);
        refuseRole(voter, timelock.PROPOSER_ROLE());
        timelock.schedule(address(models), 0, calls[0], bytes32(0), bytes32(0), 0);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorOnlyExecutor.selector, voter));
        governor.relay(address(models), 0, calls[0]);
        vm.expectRevert(abi.encodeWithSelector(TimelockController.TimelockUnauthorizedCaller.selector, voter));
        timelock.updateDelay(0);
        vm.stopPrank();
    }

    function test_not_even_the_governor_schedules_for_less_than_the_delay() public {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions(MODEL);
        vm.prank(address(governor));
        vm.expectRevert(
            abi.encodeWithSelector(TimelockController.TimelockInsufficientDelay.selector, 1 days - 1, 1 days)
        );
        timelock.scheduleBatch(targets, values, calls, bytes32(0), bytes32(0), 1 days - 1);
    }

    function testFuzz_nobody_but_the_timelock_gives_or_takes_its_roles(address caller, uint8 which) public {
        vm.assume(caller != address(timelock));
        bytes32[4] memory roles = [
            timelock.DEFAULT_ADMIN_ROLE(), timelock.PROPOSER_ROLE(), timelock.CANCELLER_ROLE(), timelock.EXECUTOR_ROLE()
        ];
        bytes32 role = roles[which % 4];
        bytes32 admin = timelock.DEFAULT_ADMIN_ROLE();
        vm.startPrank(caller);
        refuseRole(caller, admin);
        timelock.grantRole(role, caller);
        refuseRole(caller, admin);
        timelock.revokeRole(role, address(governor));
    }

    function test_the_deployer_keeps_nothing() public view {
        bytes32 admin = timelock.DEFAULT_ADMIN_ROLE();
        requireTrue(timelock.hasRole(admin, address(timelock)), "it administers itself");
        address[4] memory others = [address(this), guardian, voter, address(governor)];
        for (uint256 i = 0; i < others.length; i++) {
            requireTrue(!timelock.hasRole(admin, others[i]), "nobody else does");
        }
        requireTrue(!timelock.hasRole(timelock.PROPOSER_ROLE(), address(this)), "the deployer does not schedule");
        requireEqual(address(timelock), models.owner());
    }

    function test_only_a_vote_changes_how_votes_are_counted() public {
        vm.startPrank(guardian);
        bytes memory refusal = abi.encodeWithSelector(IGovernor.GovernorOnlyExecutor.selector, guardian);
        vm.expectRevert(refusal);
        governor.setVotingPeriod(1);
        vm.expectRevert(refusal);
        governor.updateQuorumNumerator(0);
        vm.expectRevert(refusal);
        governor.setProposalThreshold(0);
        vm.expectRevert(refusal);
        governor.setLateQuorumVoteExtension(0);
        vm.expectRevert(refusal);
        governor.setProposalGuardian(guardian);
        vm.expectRevert(refusal);
        governor.updateTimelock(TimelockController(payable(guardian)));
    }

    /// @dev There are no proxies: what a constructor set cannot be set again, and no code can be exchanged.
    function test_nothing_can_be_initialised_again_or_upgraded() public {
        address[4] memory deployed = [address(token), address(timelock), address(governor), address(models)];
        bytes[5] memory attempts = [
            abi.encodeWithSignature("initialize()"),
            abi.encodeWithSignature("initialize(address)", rival),
            abi.encodeWithSignature(
                "initialize(uint256,address[],address[],address)", 0, one(rival), one(rival), rival
            ),
            abi.encodeWithSignature("upgradeTo(address)", rival),
            abi.encodeWithSignature("upgradeToAndCall(address,bytes)", rival, "")
        ];
        for (uint256 i = 0; i < deployed.length; i++) {
            requireEqual(bytes32(0), KEYS.load(deployed[i], IMPLEMENTATION_SLOT));
            for (uint256 j = 0; j < attempts.length; j++) {
                (bool done,) = deployed[i].call(attempts[j]);
                requireTrue(!done, "there is no such function");
            }
        }
    }

    // Signatures

    function test_a_vote_by_signature_counts_once_and_not_with_its_mirrored_signature() public {
        uint256 id = opened();
        bytes32 digest =
            typed(address(governor), "RefiGovernor", keccak256(abi.encode(BALLOT, id, uint8(1), signer, 0)));
        (uint8 v, bytes32 r, bytes32 s) = KEYS.sign(KEY, digest);
        (uint8 mirroredV, bytes32 mirroredS) = mirrored(v, s);
        refuseBallot(id, 1, abi.encodePacked(r, mirroredS, mirroredV));
        // Somebody who relays it cannot turn it round.
        refuseBallot(id, 0, abi.encodePacked(r, s, v));
        governor.castVoteBySig(id, 1, signer, abi.encodePacked(r, s, v));
        refuseBallot(id, 1, abi.encodePacked(r, s, v));
        requireEqual(30_000e18, inFavour(id));
    }

    function test_a_permit_counts_once_and_not_with_its_mirrored_signature() public {
        bytes32 digest = typed(
            address(token), "ReFi.Trading", keccak256(abi.encode(PERMIT, signer, rival, 5, 0, type(uint256).max))
        );
        (uint8 v, bytes32 r, bytes32 s) = KEYS.sign(KEY, digest);
        (uint8 mirroredV, bytes32 mirroredS) = mirrored(v, s);
        vm.expectRevert(abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, mirroredS));
        token.permit(signer, rival, 5, type(uint256).max, mirroredV, r, mirroredS);
        token.permit(signer, rival, 5, type(uint256).max, v, r, s);
        requireEqual(5, token.allowance(signer, rival));
        vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
        token.permit(signer, rival, 5, type(uint256).max, v, r, s);
    }

    function test_a_permit_of_another_chain_or_of_nobody_is_refused() public {
        bytes32 foreign =
            keccak256(abi.encode(DOMAIN, keccak256("ReFi.Trading"), keccak256("1"), block.chainid + 1, address(token)));
        bytes32 content = keccak256(abi.encode(PERMIT, signer, rival, 5, 0, type(uint256).max));
        (uint8 v, bytes32 r, bytes32 s) = KEYS.sign(KEY, keccak256(abi.encodePacked(hex"1901", foreign, content)));
        vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
        token.permit(signer, rival, 5, type(uint256).max, v, r, s);
        // ecrecover answers zero for nonsense: zero must not be taken for an owner.
        vm.expectRevert(abi.encodeWithSelector(ECDSA.ECDSAInvalidSignature.selector));
        token.permit(address(0), rival, 5, type(uint256).max, 99, bytes32(uint256(1)), bytes32(uint256(1)));
    }

    function test_a_delegation_by_signature_counts_once_and_not_mirrored() public {
        bytes32 content = keccak256(abi.encode(DELEGATION, voter, 0, type(uint256).max));
        (uint8 v, bytes32 r, bytes32 s) = KEYS.sign(KEY, typed(address(token), "ReFi.Trading", content));
        (uint8 mirroredV, bytes32 mirroredS) = mirrored(v, s);
        vm.expectRevert(abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, mirroredS));
        token.delegateBySig(voter, 0, type(uint256).max, mirroredV, r, mirroredS);
        token.delegateBySig(voter, 0, type(uint256).max, v, r, s);
        requireEqual(voter, token.delegates(signer));
        vm.expectRevert(abi.encodeWithSelector(Nonces.InvalidAccountNonce.selector, signer, 1));
        token.delegateBySig(voter, 0, type(uint256).max, v, r, s);
    }

    function test_tokens_neither_go_to_nobody_nor_come_from_nobody() public {
        vm.prank(voter);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(0)));
        requireTrue(!token.transfer(address(0), 1), "refused");
        (bool minted,) = address(token).call(abi.encodeWithSignature("mint(address,uint256)", voter, 1));
        requireTrue(!minted, "nobody mints");
        requireEqual(SUPPLY, token.totalSupply());
    }

    function borrowed(address target, bytes memory action) private returns (FlashBorrower borrower) {
        borrower = new FlashBorrower(token, address(lender), target, action);
        lender.lend(borrower);
    }

    function give(address account, uint256 amount) private {
        move(account, amount);
        vm.prank(account);
        token.delegate(account);
    }

    function move(address account, uint256 amount) private {
        requireTrue(token.transfer(account, amount), "transferred");
    }

    function pass(uint256 time) private {
        vm.warp(block.timestamp + time);
    }

    function actions(bytes32 model) private view returns (address[] memory, uint256[] memory, bytes[] memory) {
        address[] memory targets = new address[](2);
        bytes[] memory calls = new bytes[](2);
        targets[0] = targets[1] = address(models);
        calls[0] = abi.encodeCall(IModelRegistry.approve, (model));
        calls[1] = abi.encodeCall(IModelRegistry.promote, (model));
        return (targets, new uint256[](2), calls);
    }

    function propose(address proposer, string memory why) private returns (uint256) {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions(MODEL);
        vm.prank(proposer);
        return governor.propose(targets, values, calls, why);
    }

    function opened() private returns (uint256 id) {
        id = propose(voter, WHY);
        vm.warp(governor.proposalSnapshot(id) + 1);
    }

    function queued() private returns (uint256 id) {
        id = opened();
        vote(voter, id);
        vm.warp(governor.proposalDeadline(id) + 1);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions(MODEL);
        governor.queue(targets, values, calls, keccak256(bytes(WHY)));
    }

    function vote(address account, uint256 id) private {
        vm.prank(account);
        governor.castVote(id, 1);
    }

    function inFavour(uint256 id) private view returns (uint256 votes) {
        (, votes,) = governor.proposalVotes(id);
    }

    function saltOf(string memory why) private view returns (bytes32) {
        return bytes20(address(governor)) ^ keccak256(bytes(why));
    }

    function refuseCancel(uint256 id, address caller) private {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = actions(MODEL);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorUnableToCancel.selector, id, caller));
        governor.cancel(targets, values, calls, keccak256(bytes(WHY)));
    }

    function refuseRole(address caller, bytes32 role) private {
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, caller, role));
    }

    function refuseBallot(uint256 id, uint8 support, bytes memory signature) private {
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorInvalidSignature.selector, signer));
        governor.castVoteBySig(id, support, signer, signature);
    }

    function typed(address verifying, string memory name, bytes32 content) private view returns (bytes32) {
        bytes32 domain = keccak256(abi.encode(DOMAIN, keccak256(bytes(name)), keccak256("1"), block.chainid, verifying));
        return keccak256(abi.encodePacked(hex"1901", domain, content));
    }

    function mirrored(uint8 v, bytes32 s) private pure returns (uint8, bytes32) {
        return (v == 27 ? 28 : 27, bytes32(ORDER - uint256(s)));
    }
}
