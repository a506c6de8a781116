// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicyEngine} from "./IPolicyEngine.sol";

/// @title Reads named parameters out of a call
/// @notice ABI of Chainlink ACE 1.0.0
interface IExtractor {
    /// @notice Name and version of the implementation
    function typeAndVersion() external pure returns (string memory);

    /// @notice The call's parameters by name
    function extract(IPolicyEngine.Payload calldata payload) external view returns (IPolicyEngine.Parameter[] memory);
}
