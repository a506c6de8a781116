// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {Policy} from "./Policy.sol";

/// @title Refuses everything while paused
/// @dev The owner (the guardian) pauses and resumes.
contract PausePolicy is Policy {
    bool public paused;

    /// @notice The switch was set
    event PauseStateChanged(bool indexed paused);

    constructor(address engine, address initialOwner, bool startsPaused) Policy(engine, initialOwner) {
        paused = startsPaused;
        emit PauseStateChanged(startsPaused);
    }

    /// @notice Pause or resume
    function setPausedState(bool value) external onlyOwner {
        if (paused == value) revert Unchanged();
        paused = value;
        emit PauseStateChanged(value);
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "PausePolicy 1.0.0 (ReFi.Trading)";
    }

    /// @notice `paused` by ACE's name
    function s_paused() external view returns (bool) {
        return paused;
    }

    /// @inheritdoc IPolicy
    function run(address, address, bytes4, bytes[] calldata, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        if (paused) revert IPolicyEngine.PolicyRejected("contract is paused");
        return IPolicyEngine.PolicyResult.Continue;
    }
}
