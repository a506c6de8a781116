// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @title Carries governance's decisions out, after a wait in which anyone can see them coming
/// @dev The governor proposes; governor and guardian cancel; anyone executes what is due. It administers itself: the
/// deployer gives its admin role up once the governor is in place. To stop an operation: `cancel`.
contract RefiTimelock is TimelockController {
    constructor(uint256 minDelay, address[] memory proposers, address[] memory executors, address admin)
        TimelockController(minDelay, proposers, executors, admin)
    {}
}
