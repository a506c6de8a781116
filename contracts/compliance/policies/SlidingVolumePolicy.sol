// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOrderGate} from "../../interfaces/IOrderGate.sol";
import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {ISlidingVolume} from "../../interfaces/ISlidingVolume.sol";
import {OrderContext} from "../../libraries/OrderContext.sol";
import {Policy} from "./Policy.sol";
import {StewardedPolicy} from "./StewardedPolicy.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

/// @title Implements ISlidingVolume, which says what it does, who may do it and how to stop it
/// @notice Two parameters for an order: account and amount. One for IOrderGate.settleVolumes: the settlements, which are
/// facts: never refused, only counted.
contract SlidingVolumePolicy is ISlidingVolume, StewardedPolicy {
    using Checkpoints for Checkpoints.Trace208;

    // In one word, for all three are read at every order.
    address public boundTo;
    uint32 private _window;
    uint64 private _limit;
    /// @dev Time -> all that was recorded until then.
    mapping(address account => Checkpoints.Trace208 volumes) private _recorded;

    constructor(address engine, address initialOwner, uint256 limit, uint48 window) Policy(engine, initialOwner) {
        _setLimit(limit);
        _setWindow(window);
    }

    /// @inheritdoc ISlidingVolume
    function setLimit(uint256 limit) external onlyOwnerOrSteward {
        _setLimit(limit);
    }

    /// @inheritdoc ISlidingVolume
    function setWindow(uint48 window) external onlyOwner {
        _setWindow(window);
    }

    /// @inheritdoc IPolicy
    function postRun(address, address subject, bytes4 selector, bytes[] calldata parameters, bytes calldata)
        external
        override
        onlyPolicyEngine
    {
        if (boundTo == address(0)) {
            // The engine names who called it.
            // slither-disable-next-line missing-zero-check
            boundTo = subject;
            emit Bound(subject);
        }
        if (boundTo != subject) revert ServesAnother(boundTo);
        if (selector == IOrderGate.settleVolumes.selector) {
            _recordSettlements(IOrderGate(subject), parameters);
        } else {
            (address account, uint256 amount) = _order(parameters);
            _record(account, amount);
        }
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "SlidingVolumePolicy 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc IPolicy
    function run(address, address subject, bytes4 selector, bytes[] calldata parameters, bytes calldata context)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        address bound = boundTo;
        if (bound != address(0) && bound != subject) {
            revert IPolicyEngine.PolicyRejected("policy counts for another contract");
        }
        if (selector == IOrderGate.settleVolumes.selector) return IPolicyEngine.PolicyResult.Continue;
        (address account, uint256 amount) = _order(parameters);
        uint256 volume = Math.saturatingAdd(volumeOf(account), _unsettled(IOrderGate(subject), account, context));
        if (Math.saturatingAdd(volume, amount) > _limit) {
            revert IPolicyEngine.PolicyRejected("volume within the window is over the limit");
        }
        return IPolicyEngine.PolicyResult.Continue;
    }

    /// @inheritdoc ISlidingVolume
    function getLimit() external view returns (uint256) {
        return _limit;
    }

    /// @inheritdoc ISlidingVolume
    function getWindow() external view returns (uint48) {
        return _window;
    }

    /// @inheritdoc ISlidingVolume
    function recordedOf(address account) external view returns (uint256) {
        return _recorded[account].latest();
    }

    /// @inheritdoc ISlidingVolume
    function firstVolumeAt(address account) external view returns (uint48) {
        Checkpoints.Trace208 storage trace = _recorded[account];
        return trace.length() == 0 ? 0 : trace.pos(0)._key;
    }

    /// @inheritdoc ISlidingVolume
    function volumeOf(address account) public view returns (uint256) {
        Checkpoints.Trace208 storage trace = _recorded[account];
        uint208 total = trace.latest();
        uint256 window = _window;
        if (total == 0 || block.timestamp < window) return total;
        return total - trace.upperLookupRecent(SafeCast.toUint48(block.timestamp - window));
    }

    /// @dev Settlements come before the gate stores them: what it has settled is what was counted before.
    function _recordSettlements(IOrderGate gate, bytes[] calldata parameters) private {
        IOrderGate.Settlement[] memory settlements = abi.decode(_only(parameters), (IOrderGate.Settlement[]));
        for (uint256 i = 0; i < settlements.length; i++) {
            // slither-disable-next-line calls-loop
            uint256 settled = gate.settledOf(settlements[i].account);
            // The gate refuses to settle less than before.
            if (settlements[i].cumulative > settled) {
                _record(settlements[i].account, settlements[i].cumulative - settled);
            }
        }
    }

    function _record(address account, uint256 amount) private {
        if (amount == 0) return;
        Checkpoints.Trace208 storage trace = _recorded[account];
        uint256 total = trace.latest() + amount;
        // slither-disable-next-line unused-return
        trace.push(SafeCast.toUint48(block.timestamp), SafeCast.toUint208(total));
    }

    function _setLimit(uint256 limit) private {
        if (limit > type(uint64).max) revert LimitTooLarge(limit);
        // forge-lint: disable-next-line(unsafe-typecast)
        _limit = uint64(limit);
        emit LimitSet(limit);
    }

    function _setWindow(uint48 window) private {
        if (window == 0 || window > type(uint32).max) revert InvalidWindow(window);
        // forge-lint: disable-next-line(unsafe-typecast)
        _window = uint32(window);
        emit WindowSet(window);
    }

    /// @dev What the order's context says was traded off chain beyond what is settled.
    function _unsettled(IOrderGate gate, address account, bytes calldata context) private view returns (uint256) {
        // slither-disable-next-line unused-return
        (bool isOrder, uint256 cumulative,) = OrderContext.read(context);
        return isOrder ? Math.saturatingSub(cumulative, gate.settledOf(account)) : 0;
    }

    function _order(bytes[] calldata parameters) private pure returns (address account, uint256 amount) {
        if (parameters.length != 2) revert InvalidParameters("expected 2 parameters");
        account = abi.decode(parameters[0], (address));
        amount = abi.decode(parameters[1], (uint256));
    }
}
