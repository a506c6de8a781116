// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {IProgressiveCaps} from "../../interfaces/IProgressiveCaps.sol";
import {Policy} from "./Policy.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title Implements IProgressiveCaps, which says what it does, who may do it and how to stop it
/// @notice Two parameters: account and amount. A cap is inside.
contract ProgressiveCapPolicy is IProgressiveCaps, Policy {
    uint256 public constant MAX_TIERS = 8;

    /// @dev A tier in one word
    struct PackedTier {
        uint16 fromDay;
        bool reviewed;
        uint128 cap;
    }

    address public registrar;
    address public reviewer;
    PackedTier[] private _tiers;
    mapping(address account => uint48 time) public openedAt;
    mapping(address account => bytes32 reviewHash) public reviewOf;

    constructor(
        address engine,
        address initialOwner,
        address initialRegistrar,
        address initialReviewer,
        Tier[] memory tiers
    ) Policy(engine, initialOwner) {
        _setRegistrar(initialRegistrar);
        _setReviewer(initialReviewer);
        _setTiers(tiers);
    }

    /// @inheritdoc IProgressiveCaps
    function setTiers(Tier[] calldata tiers) external onlyOwner {
        _setTiers(tiers);
    }

    /// @inheritdoc IProgressiveCaps
    function setRegistrar(address account) external onlyOwner {
        _setRegistrar(account);
    }

    /// @inheritdoc IProgressiveCaps
    function setReviewer(address account) external onlyOwner {
        _setReviewer(account);
    }

    /// @inheritdoc IProgressiveCaps
    function open(address account) external {
        if (msg.sender != registrar) revert NotRegistrar(msg.sender);
        if (account == address(0)) revert ZeroValue();
        if (openedAt[account] != 0) revert AlreadyOpened(account, openedAt[account]);
        uint48 time = SafeCast.toUint48(block.timestamp);
        openedAt[account] = time;
        emit AccountOpened(account, time);
    }

    /// @inheritdoc IProgressiveCaps
    function recordReview(address account, bytes32 reviewHash) external {
        if (msg.sender != reviewer) revert NotReviewer(msg.sender);
        if (reviewHash == bytes32(0)) revert ZeroValue();
        // Zero stands for never.
        // slither-disable-next-line incorrect-equality
        if (openedAt[account] == 0) revert NotOpened(account);
        reviewOf[account] = reviewHash;
        emit ReviewRecorded(account, reviewHash);
    }

    /// @inheritdoc IProgressiveCaps
    function withdrawReview(address account) external {
        if (msg.sender != reviewer && msg.sender != owner()) revert NotReviewer(msg.sender);
        emit ReviewWithdrawn(account, reviewOf[account]);
        delete reviewOf[account];
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "ProgressiveCapPolicy 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc IPolicy
    function run(address, address, bytes4, bytes[] calldata parameters, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        if (parameters.length != 2) revert InvalidParameters("expected 2 parameters");
        address account = abi.decode(parameters[0], (address));
        uint256 opened = openedAt[account];
        // Zero stands for never.
        // slither-disable-next-line incorrect-equality
        if (opened == 0) revert IPolicyEngine.PolicyRejected("account is not opened");
        if (abi.decode(parameters[1], (uint256)) > _capSince(account, opened)) {
            revert IPolicyEngine.PolicyRejected("order is over the account's cap");
        }
        return IPolicyEngine.PolicyResult.Continue;
    }

    /// @inheritdoc IProgressiveCaps
    function getTiers() external view returns (Tier[] memory tiers) {
        tiers = new Tier[](_tiers.length);
        for (uint256 i = 0; i < tiers.length; i++) {
            tiers[i] = Tier(_tiers[i].fromDay, _tiers[i].cap, _tiers[i].reviewed);
        }
    }

    /// @inheritdoc IProgressiveCaps
    function capOf(address account) external view returns (uint256) {
        uint256 opened = openedAt[account];
        // Zero stands for never.
        // slither-disable-next-line incorrect-equality
        return opened == 0 ? 0 : _capSince(account, opened);
    }

    function _setRegistrar(address account) private {
        registrar = account;
        emit RegistrarSet(account);
    }

    function _setReviewer(address account) private {
        reviewer = account;
        emit ReviewerSet(account);
    }

    function _setTiers(Tier[] memory tiers) private {
        uint256 length = tiers.length;
        if (length == 0 || length > MAX_TIERS) revert InvalidTiers(length);
        delete _tiers;
        for (uint256 i = 0; i < length; i++) {
            Tier memory tier = tiers[i];
            if (tier.cap > type(uint128).max || (i > 0 && !_follows(tiers[i - 1], tier))) revert InvalidTiers(i);
            // forge-lint: disable-next-line(unsafe-typecast)
            _tiers.push(PackedTier(tier.fromDay, tier.reviewed, uint128(tier.cap)));
        }
        emit TiersSet(tiers);
    }

    function _capSince(address account, uint256 opened) private view returns (uint256) {
        uint256 age = block.timestamp / 1 days - opened / 1 days;
        for (uint256 i = _tiers.length; i > 0; i--) {
            PackedTier memory tier = _tiers[i - 1];
            if (age >= tier.fromDay && (!tier.reviewed || reviewOf[account] != bytes32(0))) return tier.cap;
        }
        return 0;
    }

    function _follows(Tier memory lower, Tier memory higher) private pure returns (bool) {
        return higher.fromDay > lower.fromDay && higher.cap > lower.cap && (higher.reviewed || !lower.reviewed);
    }
}
