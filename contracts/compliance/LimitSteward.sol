// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ILimitSteward} from "../interfaces/ILimitSteward.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title Implements ILimitSteward, which says what it does, who may do it and how to stop it
contract LimitSteward is ILimitSteward, Ownable {
    uint256 private constant BPS = 10_000;

    address public steward;
    mapping(address target => mapping(bytes4 setter => Rule)) private _rules;

    constructor(address initialOwner, address initialSteward) Ownable(initialOwner) {
        _setSteward(initialSteward);
    }

    /// @inheritdoc ILimitSteward
    function setSteward(address account) external onlyOwner {
        _setSteward(account);
    }

    /// @inheritdoc ILimitSteward
    function allow(address target, bytes4 getter, bytes4 setter, uint16 maxChangeBps, uint32 minDelay)
        external
        onlyOwner
    {
        if (target.code.length == 0 || maxChangeBps == 0 || maxChangeBps >= BPS || minDelay == 0) {
            revert InvalidRule(target, maxChangeBps, minDelay);
        }
        // slither-disable-next-line unused-return
        _read(target, getter);
        _rules[target][setter] = Rule(getter, maxChangeBps, minDelay, SafeCast.toUint48(block.timestamp));
        emit Allowed(target, setter, getter, maxChangeBps, minDelay);
    }

    /// @inheritdoc ILimitSteward
    function disallow(address target, bytes4 setter) external onlyOwner {
        if (_rules[target][setter].minDelay == 0) revert NotAllowed(target, setter);
        delete _rules[target][setter];
        emit Disallowed(target, setter);
    }

    /// @inheritdoc ILimitSteward
    function change(address target, bytes4 setter, uint256 value) external {
        if (msg.sender != steward) revert NotSteward(msg.sender);
        Rule storage rule = _rules[target][setter];
        if (rule.minDelay == 0) revert NotAllowed(target, setter);
        uint256 notBefore = uint256(rule.changedAt) + rule.minDelay;
        if (block.timestamp < notBefore) revert TooSoon(target, setter, notBefore);
        uint256 present = _read(target, rule.getter);
        uint256 most = Math.mulDiv(present, rule.maxChangeBps, BPS);
        uint256 step = value > present ? value - present : present - value;
        if (step > most) revert ChangeTooLarge(present, value, most);
        rule.changedAt = SafeCast.toUint48(block.timestamp);
        emit LimitChanged(target, setter, present, value);
        // A target with a rule had code when its owner made it.
        // slither-disable-next-line low-level-calls,missing-zero-check
        (bool success, bytes memory answer) = target.call(bytes.concat(setter, abi.encode(value)));
        if (!success) revert CallFailed(target, setter, answer);
        uint256 taken = _read(target, rule.getter);
        if (taken != value) revert NotTaken(target, value, taken);
    }

    /// @inheritdoc ILimitSteward
    function ruleOf(address target, bytes4 setter) external view returns (Rule memory) {
        return _rules[target][setter];
    }

    function _setSteward(address account) private {
        steward = account;
        emit StewardSet(account);
    }

    function _read(address target, bytes4 getter) private view returns (uint256) {
        // slither-disable-next-line low-level-calls
        (bool success, bytes memory answer) = target.staticcall(bytes.concat(getter));
        if (!success || answer.length != 32) revert CallFailed(target, getter, answer);
        return abi.decode(answer, (uint256));
    }
}
