// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

/// @title A contract with functions that an engine guards
/// @notice ABI of Chainlink ACE 1.0.0
/// @dev The owner may attach another engine. To stop it: pause or refuse in the engine.
interface IPolicyProtected is IERC165 {
    /// @notice The contract is guarded by this engine now
    event PolicyEngineAttached(address indexed policyEngine);
    /// @notice The engine before did not let go; it has no say any more all the same
    event PolicyEngineDetachFailed(address indexed policyEngine, bytes reason);

    /// @notice Put the contract under another engine
    function attachPolicyEngine(address policyEngine) external;

    /// @notice The engine that guards the contract
    function getPolicyEngine() external view returns (address);

    /// @notice Keep a context for the caller's next protected call
    function setContext(bytes calldata context) external;

    /// @notice The context kept for the caller
    function getContext() external view returns (bytes memory);

    /// @notice Forget the caller's context
    function clearContext() external;
}
