// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {Policy} from "./Policy.sol";

/// @title Refuses calls outside a span of slots in a repeating cycle
/// @notice No parameters: the block's time decides. Weekdays from 9 to 17 need two of these: one with slots of an hour
/// in a cycle of 24, one with slots of a day in a cycle of 7 (1 January 1970 was a Thursday: offset 4 makes Sunday 0).
/// @dev The owner sets slots and cycle. To stop everything: pause, an interval is never empty.
contract IntervalPolicy is Policy {
    /// @param slotDuration Length of a slot in seconds
    /// @param cycleSize Slots a cycle
    /// @param cycleOffset Number of the slot that began with the Unix epoch
    struct Cycle {
        uint256 slotDuration;
        uint256 cycleSize;
        uint256 cycleOffset;
    }

    uint256 private _startSlot;
    uint256 private _endSlot;
    Cycle private _cycle;

    /// @notice The span is empty or leaves the cycle, or the cycle has no slots or no length
    error InvalidInterval(uint256 startSlot, uint256 endSlot, Cycle cycle);

    /// @notice The first slot of the span was set
    event StartSlotSet(uint256 startSlot);
    /// @notice The slot behind the span was set
    event EndSlotSet(uint256 endSlot);
    /// @notice The cycle was set
    event CycleParametersSet(uint256 slotDuration, uint256 cycleSize, uint256 cycleOffset);

    constructor(address engine, address initialOwner, uint256 startSlot, uint256 endSlot, Cycle memory cycle)
        Policy(engine, initialOwner)
    {
        _set(startSlot, endSlot, cycle);
        emit StartSlotSet(startSlot);
        emit EndSlotSet(endSlot);
        emit CycleParametersSet(cycle.slotDuration, cycle.cycleSize, cycle.cycleOffset);
    }

    /// @notice Set the first slot of the span. Owner only.
    function setStartSlot(uint256 startSlot) external onlyOwner {
        _set(startSlot, _endSlot, _cycle);
        emit StartSlotSet(startSlot);
    }

    /// @notice Set the slot behind the span. Owner only.
    function setEndSlot(uint256 endSlot) external onlyOwner {
        _set(_startSlot, endSlot, _cycle);
        emit EndSlotSet(endSlot);
    }

    /// @notice Set the cycle. Owner only.
    function setCycleParameters(uint256 slotDuration, uint256 cycleSize, uint256 cycleOffset) external onlyOwner {
        _set(_startSlot, _endSlot, Cycle(slotDuration, cycleSize, cycleOffset));
        emit CycleParametersSet(slotDuration, cycleSize, cycleOffset);
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "IntervalPolicy 1.0.0 (ReFi.Trading)";
    }

    /// @notice The first slot of the span
    function getStartSlot() external view returns (uint256) {
        return _startSlot;
    }

    /// @notice The slot behind the span
    function getEndSlot() external view returns (uint256) {
        return _endSlot;
    }

    /// @notice Length of a slot in seconds, slots a cycle, number of the Unix epoch's slot
    function getCycleParameters() external view returns (uint256, uint256, uint256) {
        return (_cycle.slotDuration, _cycle.cycleSize, _cycle.cycleOffset);
    }

    /// @inheritdoc IPolicy
    function run(address, address, bytes4, bytes[] calldata, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        // A sequencer's seconds do not matter for slots of hours and days, and nobody draws lots.
        // slither-disable-next-line weak-prng
        uint256 slot = (block.timestamp / _cycle.slotDuration + _cycle.cycleOffset) % _cycle.cycleSize;
        if (slot < _startSlot || slot >= _endSlot) {
            revert IPolicyEngine.PolicyRejected("execution outside allowed time interval");
        }
        return IPolicyEngine.PolicyResult.Continue;
    }

    function _set(uint256 startSlot, uint256 endSlot, Cycle memory cycle) private {
        bool isSound = cycle.slotDuration > 0 && startSlot < endSlot && endSlot <= cycle.cycleSize
            && cycle.cycleOffset < cycle.cycleSize;
        if (!isSound) revert InvalidInterval(startSlot, endSlot, cycle);
        (_startSlot, _endSlot, _cycle) = (startSlot, endSlot, cycle);
    }
}
