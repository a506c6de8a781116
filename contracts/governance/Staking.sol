// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IStaking} from "../interfaces/IStaking.sol";
import {StakeVault} from "./StakeVault.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @title Implements IStaking, which says what it does, who may do it and how to stop it
contract Staking is IStaking, Ownable, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    struct Position {
        uint256 staked;
        uint256 pending;
        StakeVault vault;
        uint48 availableAt;
    }

    uint48 public constant COOLDOWN = 7 days;
    uint256 public constant MAX_TIERS = 8;
    uint256 private constant WHOLE_BPS = 10_000;

    IERC20 public immutable token;
    Tier[] private _tiers;
    mapping(address account => Position) private _positions;

    constructor(IERC20 refi, address timelock, Tier[] memory tiers) Ownable(timelock) {
        token = refi;
        _setTiers(tiers);
    }

    /// @inheritdoc IStaking
    function stake(uint256 amount) external nonReentrant {
        if (amount == 0) revert NothingToMove();
        Position storage position = _positions[msg.sender];
        StakeVault vault = position.vault;
        bool isFirst = address(vault) == address(0);
        if (isFirst) {
            vault = new StakeVault(token);
            position.vault = vault;
            emit VaultOpened(msg.sender, address(vault));
        }
        position.staked += amount;
        emit Staked(msg.sender, amount, position.staked);
        if (isFirst) vault.delegate(msg.sender);
        token.safeTransferFrom(msg.sender, address(vault), amount);
    }

    /// @inheritdoc IStaking
    function requestUnstake(uint256 amount) external {
        if (amount == 0) revert NothingToMove();
        Position storage position = _positions[msg.sender];
        if (amount > position.staked) revert StakeTooSmall(position.staked, amount);
        position.staked -= amount;
        position.pending += amount;
        position.availableAt = uint48(block.timestamp) + COOLDOWN;
        emit UnstakeRequested(msg.sender, amount, position.staked, position.availableAt);
    }

    /// @inheritdoc IStaking
    function withdraw() external nonReentrant {
        Position storage position = _positions[msg.sender];
        uint256 amount = position.pending;
        // Seconds do not matter to a wait of days.
        // slither-disable-next-line timestamp
        if (amount == 0 || block.timestamp < position.availableAt) revert NotAvailable(amount, position.availableAt);
        position.pending = 0;
        emit Withdrawn(msg.sender, amount);
        position.vault.pay(msg.sender, amount);
    }

    /// @inheritdoc IStaking
    function delegateStake(address delegatee) external {
        StakeVault vault = _positions[msg.sender].vault;
        if (address(vault) == address(0)) revert NoStake(msg.sender);
        vault.delegate(delegatee);
    }

    /// @inheritdoc IStaking
    function setTiers(Tier[] calldata tiers) external onlyOwner {
        _setTiers(tiers);
    }

    /// @inheritdoc IStaking
    function stakedOf(address account) external view returns (uint256) {
        return _positions[account].staked;
    }

    /// @inheritdoc IStaking
    function pendingOf(address account) external view returns (uint256 amount, uint48 availableAt) {
        return (_positions[account].pending, _positions[account].availableAt);
    }

    /// @inheritdoc IStaking
    function vaultOf(address account) external view returns (address) {
        return address(_positions[account].vault);
    }

    /// @inheritdoc IStaking
    function rebateOf(address account) external view returns (uint16) {
        uint8 tier = tierOf(account);
        return tier == 0 ? 0 : _tiers[tier - 1].rebateBps;
    }

    /// @inheritdoc IStaking
    function getTiers() external view returns (Tier[] memory) {
        return _tiers;
    }

    /// @inheritdoc IStaking
    function tierOf(address account) public view returns (uint8 tier) {
        uint256 staked = _positions[account].staked;
        uint256 length = _tiers.length;
        while (tier < length && staked >= _tiers[tier].threshold) tier++;
    }

    function _setTiers(Tier[] memory tiers) private {
        if (tiers.length > MAX_TIERS) revert InvalidTier(MAX_TIERS);
        delete _tiers;
        uint256 threshold = 0;
        uint16 rebateBps = 0;
        for (uint256 i = 0; i < tiers.length; i++) {
            Tier memory tier = tiers[i];
            if (tier.threshold <= threshold || tier.rebateBps < rebateBps || tier.rebateBps > WHOLE_BPS) {
                revert InvalidTier(i);
            }
            (threshold, rebateBps) = (tier.threshold, tier.rebateBps);
            _tiers.push(tier);
        }
        emit TiersSet(tiers);
    }
}
