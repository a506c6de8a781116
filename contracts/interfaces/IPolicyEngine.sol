// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Decides whether a call to a protected contract may go on
/// @notice The ABI is that of Chainlink ACE 1.0.0, so that a protected contract can be pointed at either engine.
/// Every (target, selector) has a chain of at most eight policies, asked in order. A policy continues, allows (the
/// rest is not asked) or rejects. Where all continue, the target's default decides. An empty chain is always refused.
/// @dev Who may do what: ADMIN_ROLE edits chains, extractors, mappers and defaults; POLICY_CONFIG_ADMIN_ROLE calls
/// configuration functions of policies that the engine owns; anyone may attach or detach itself.
/// To stop a target: pause its PausePolicy, or setTargetDefaultPolicyAllow(target, false).
interface IPolicyEngine {
    /// @notice A policy's answer; rejection is a revert with PolicyRejected. None counts as a fault.
    enum PolicyResult {
        None,
        Allowed,
        Continue
    }

    /// @param selector The protected function
    /// @param sender The caller of the protected function
    /// @param data The call's arguments, without the selector
    /// @param context Free bytes for policies that need more than the arguments
    struct Payload {
        bytes4 selector;
        address sender;
        bytes data;
        bytes context;
    }

    /// @param name keccak256 of the parameter's name
    /// @param value Its ABI encoding
    struct Parameter {
        bytes32 name;
        bytes value;
    }

    /// @notice The caller, or the target of a check, has not attached itself
    error TargetNotAttached(address target);
    /// @notice The caller is attached already
    error TargetAlreadyAttached(address target);
    /// @notice A protected contract has no engine
    error PolicyEngineUndefined();
    /// @notice A policy (or, with the zero address, the default) refuses the call
    error PolicyRunRejected(address policy, string rejectReason, Payload payload);
    /// @notice What a policy reverts with to refuse
    error PolicyRejected(string rejectReason);
    /// @notice A policy failed otherwise than by refusing
    error PolicyRunError(address policy, bytes errorReason, Payload payload);
    /// @notice A policy's state change after the run failed
    error PolicyPostRunError(address policy, bytes errorReason, Payload payload);
    /// @notice A mapper failed
    error PolicyMapperError(address policy, bytes errorReason, Payload payload);
    /// @notice An extractor failed
    error ExtractorError(address extractor, bytes errorReason, Payload payload);
    /// @notice An extractor does not know the selector
    error UnsupportedSelector(bytes4 selector);
    /// @notice A policy refused its configuration
    error PolicyConfigurationError(address policy, bytes errorReason);
    /// @notice The configuration was made for another version of the policy's settings
    error PolicyConfigurationVersionError(address policy, uint256 expectedVersion, uint256 actualVersion);
    /// @notice The policy is not in the chain
    error PolicyNotAdded(address target, bytes4 selector, address policy);

    /// @notice A target attached itself
    event TargetAttached(address indexed target);
    /// @notice A target detached itself
    event TargetDetached(address indexed target);
    /// @notice A configuration function of a policy was called
    event PolicyConfigured(
        address indexed policy, uint256 indexed configVersion, bytes4 indexed configSelector, bytes configData
    );
    /// @notice A protected call was allowed; a refusal reverts and leaves no event
    event PolicyRunComplete(
        address indexed sender,
        address indexed target,
        bytes4 indexed selector,
        Parameter[] extractedParameters,
        bytes context
    );
    /// @notice A policy was appended to a chain
    event PolicyAdded(
        address indexed target,
        bytes4 indexed selector,
        address policy,
        uint256 position,
        bytes32[] policyParameterNames
    );
    /// @notice A policy was inserted into a chain
    event PolicyAddedAt(
        address indexed target,
        bytes4 indexed selector,
        address policy,
        uint256 position,
        bytes32[] policyParameterNames,
        address[] policies
    );
    /// @notice A policy was taken out of a chain
    event PolicyRemoved(address indexed target, bytes4 indexed selector, address policy);
    /// @notice A selector has another extractor
    event ExtractorSet(bytes4 indexed selector, address indexed extractor);
    /// @notice A policy has another mapper
    event PolicyMapperSet(address indexed policy, address indexed mapper);
    /// @notice The engine's default changed
    event DefaultPolicyAllowSet(bool defaultAllow);
    /// @notice A target's default changed
    event TargetDefaultPolicyAllowSet(address indexed target, bool defaultAllow);

    /// @notice Name and version of the implementation
    function typeAndVersion() external pure returns (string memory);

    /// @notice Attach the caller as a target
    function attach() external;

    /// @notice Detach the caller; its calls are refused from then on
    function detach() external;

    /// @notice Set the extractor of a selector, for every target
    function setExtractor(bytes4 selector, address extractor) external;

    /// @notice Set one extractor for several selectors
    function setExtractors(bytes4[] calldata selectors, address extractor) external;

    /// @notice The selector's extractor, zero where calls have no parameters for policies
    function getExtractor(bytes4 selector) external view returns (address);

    /// @notice Set a mapper that makes a policy's parameters instead of choosing them by name
    function setPolicyMapper(address policy, address mapper) external;

    /// @notice The policy's mapper, zero for none
    function getPolicyMapper(address policy) external view returns (address);

    /// @notice Append a policy to a chain
    function addPolicy(address target, bytes4 selector, address policy, bytes32[] calldata policyParameterNames)
        external;

    /// @notice Insert a policy into a chain
    function addPolicyAt(
        address target,
        bytes4 selector,
        address policy,
        bytes32[] calldata policyParameterNames,
        uint256 position
    ) external;

    /// @notice Take a policy out of a chain
    function removePolicy(address target, bytes4 selector, address policy) external;

    /// @notice The chain's policies in their order
    function getPolicies(address target, bytes4 selector) external view returns (address[] memory);

    /// @notice Call a configuration function of a policy that the engine owns; never onInstall, onUninstall or postRun
    /// @param configVersion The version that the caller has read; each call raises it by one
    function setPolicyConfiguration(
        address policy,
        uint256 configVersion,
        bytes4 configSelector,
        bytes calldata configData
    ) external;

    /// @notice How often the policy was configured through the engine
    function getPolicyConfigVersion(address policy) external view returns (uint256);

    /// @notice Whether targets without a default of their own are allowed when all policies continue
    function setDefaultPolicyAllow(bool defaultAllow) external;

    /// @notice Whether a target is allowed when all policies continue
    function setTargetDefaultPolicyAllow(address target, bool defaultAllow) external;

    /// @notice Revert as `run` would. To ask beforehand: eth_call with the protected contract as the caller.
    /// @dev State changes of policies are not made, so that separate checks do not see each other.
    function check(Payload calldata payload) external view;

    /// @notice Judge a call of the calling target and make the policies' state changes
    function run(Payload calldata payload) external;
}
