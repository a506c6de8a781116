// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicyEngine} from "./IPolicyEngine.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

/// @title One rule of a chain
/// @notice ABI of Chainlink ACE 1.0.0
interface IPolicy is IERC165 {
    /// @notice Somebody else than the policy's engine calls a function kept for it
    error Unauthorized();
    /// @notice The engine or a policy was given parameters that it cannot work with
    error InvalidParameters(string reason);
    /// @notice The setting has this value already
    error Unchanged();

    /// @notice Name and version of the implementation
    function typeAndVersion() external pure returns (string memory);

    /// @notice The engine added the policy to a chain
    function onInstall(bytes4 selector) external;

    /// @notice The engine took the policy out of a chain
    function onUninstall(bytes4 selector) external;

    /// @notice Judge a call; refusal is a revert with IPolicyEngine.PolicyRejected
    /// @param caller Who called the protected function
    /// @param subject The protected contract
    /// @param selector The protected function
    /// @param parameters The values of the names given at installation, in that order
    /// @param context The call's context
    function run(address caller, address subject, bytes4 selector, bytes[] calldata parameters, bytes calldata context)
        external
        view
        returns (IPolicyEngine.PolicyResult);

    /// @notice Change state after a call was let through
    function postRun(
        address caller,
        address subject,
        bytes4 selector,
        bytes[] calldata parameters,
        bytes calldata context
    ) external;
}
