// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicyEngine} from "./IPolicyEngine.sol";

/// @title Makes a policy's parameters from the extracted ones
/// @notice ABI of Chainlink ACE 1.0.0
interface IMapper {
    /// @notice Name and version of the implementation
    function typeAndVersion() external pure returns (string memory);

    /// @notice The policy's parameters
    function map(IPolicyEngine.Parameter[] calldata extractedParameters) external view returns (bytes[] memory);
}
