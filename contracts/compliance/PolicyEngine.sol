// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExtractor} from "../interfaces/IExtractor.sol";
import {IMapper} from "../interfaces/IMapper.sol";
import {IPolicy} from "../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../interfaces/IPolicyEngine.sol";
import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {Bytes} from "@openzeppelin/contracts/utils/Bytes.sol";

/// @title Implements IPolicyEngine, which says what it does, who may do it and how to stop it
contract PolicyEngine is IPolicyEngine, AccessControl {
    using Bytes for bytes;

    bytes32 public constant ADMIN_ROLE = keccak256("ADMIN_ROLE");
    bytes32 public constant POLICY_CONFIG_ADMIN_ROLE = keccak256("POLICY_CONFIG_ADMIN_ROLE");
    uint256 public constant MAX_POLICIES = 8;

    enum Default {
        Inherited,
        Allow,
        Refuse
    }

    /// @dev Both in one word, for both are read at every call.
    struct Target {
        bool isAttached;
        Default ownDefault;
    }

    /// @dev A policy's place in a chain and the number of parameters that it is given.
    struct Step {
        address policy;
        uint96 parameters;
    }

    bool public defaultAllows;
    /// @dev Beside the default in one word: without mappers none is looked up.
    uint248 private _mapperCount;
    mapping(address target => Target) private _targets;
    mapping(bytes4 selector => address extractor) private _extractors;
    mapping(address policy => address mapper) private _mappers;
    mapping(address policy => uint256 version) private _configVersions;
    // Written through references, which slither does not follow.
    // slither-disable-next-line uninitialized-state
    mapping(address target => mapping(bytes4 selector => Step[])) private _chains;
    mapping(
        address target => mapping(bytes4 selector => mapping(address policy => mapping(uint256 place => bytes32)))
    ) private _names;

    /// @param admin Holder of every role
    constructor(address admin) {
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _grantRole(ADMIN_ROLE, admin);
        _grantRole(POLICY_CONFIG_ADMIN_ROLE, admin);
    }

    /// @inheritdoc IPolicyEngine
    function typeAndVersion() external pure returns (string memory) {
        return "PolicyEngine 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc IPolicyEngine
    function attach() external {
        if (_targets[msg.sender].isAttached) revert TargetAlreadyAttached(msg.sender);
        _targets[msg.sender].isAttached = true;
        emit TargetAttached(msg.sender);
    }

    /// @inheritdoc IPolicyEngine
    function detach() external {
        if (!_targets[msg.sender].isAttached) revert TargetNotAttached(msg.sender);
        _targets[msg.sender].isAttached = false;
        emit TargetDetached(msg.sender);
    }

    /// @inheritdoc IPolicyEngine
    function setDefaultPolicyAllow(bool defaultAllow) external onlyRole(ADMIN_ROLE) {
        defaultAllows = defaultAllow;
        emit DefaultPolicyAllowSet(defaultAllow);
    }

    /// @inheritdoc IPolicyEngine
    function setTargetDefaultPolicyAllow(address target, bool defaultAllow) external onlyRole(ADMIN_ROLE) {
        _targets[target].ownDefault = defaultAllow ? Default.Allow : Default.Refuse;
        emit TargetDefaultPolicyAllowSet(target, defaultAllow);
    }

    /// @inheritdoc IPolicyEngine
    function setExtractor(bytes4 selector, address extractor) external onlyRole(ADMIN_ROLE) {
        _setExtractor(selector, extractor);
    }

    /// @inheritdoc IPolicyEngine
    function setExtractors(bytes4[] calldata selectors, address extractor) external onlyRole(ADMIN_ROLE) {
        for (uint256 i = 0; i < selectors.length; i++) {
            _setExtractor(selectors[i], extractor);
        }
    }

    /// @inheritdoc IPolicyEngine
    function setPolicyMapper(address policy, address mapper) external onlyRole(ADMIN_ROLE) {
        if (_mappers[policy] != address(0)) _mapperCount--;
        if (mapper != address(0)) _mapperCount++;
        _mappers[policy] = mapper;
        emit PolicyMapperSet(policy, mapper);
    }

    /// @inheritdoc IPolicyEngine
    function addPolicy(address target, bytes4 selector, address policy, bytes32[] calldata policyParameterNames)
        external
        onlyRole(ADMIN_ROLE)
    {
        uint256 position = _chains[target][selector].length;
        _insert(target, selector, policy, policyParameterNames, position);
        emit PolicyAdded(target, selector, policy, position, policyParameterNames);
        IPolicy(policy).onInstall(selector);
    }

    /// @inheritdoc IPolicyEngine
    function addPolicyAt(
        address target,
        bytes4 selector,
        address policy,
        bytes32[] calldata policyParameterNames,
        uint256 position
    ) external onlyRole(ADMIN_ROLE) {
        _insert(target, selector, policy, policyParameterNames, position);
        emit PolicyAddedAt(target, selector, policy, position, policyParameterNames, _policiesOf(target, selector));
        IPolicy(policy).onInstall(selector);
    }

    /// @inheritdoc IPolicyEngine
    function removePolicy(address target, bytes4 selector, address policy) external onlyRole(ADMIN_ROLE) {
        Step[] storage chain = _chains[target][selector];
        uint256 length = chain.length;
        uint256 position = _positionOf(chain, policy);
        if (position == length) revert PolicyNotAdded(target, selector, policy);
        for (; position + 1 < length; position++) {
            chain[position] = chain[position + 1];
        }
        chain.pop();
        emit PolicyRemoved(target, selector, policy);
        IPolicy(policy).onUninstall(selector);
    }

    /// @inheritdoc IPolicyEngine
    function setPolicyConfiguration(
        address policy,
        uint256 configVersion,
        bytes4 configSelector,
        bytes calldata configData
    ) external onlyRole(POLICY_CONFIG_ADMIN_ROLE) {
        uint256 version = _configVersions[policy];
        if (version != configVersion) revert PolicyConfigurationVersionError(policy, configVersion, version);
        _configVersions[policy] = version + 1;
        if (policy.code.length == 0) revert PolicyConfigurationError(policy, "");
        if (_isHook(configSelector)) {
            revert PolicyConfigurationError(policy, abi.encodeWithSelector(IPolicy.Unauthorized.selector));
        }
        // slither-disable-next-line low-level-calls
        (bool success, bytes memory answer) = policy.call(bytes.concat(configSelector, configData));
        if (!success) revert PolicyConfigurationError(policy, answer);
        emit PolicyConfigured(policy, configVersion, configSelector, configData);
    }

    /// @inheritdoc IPolicyEngine
    function run(Payload calldata payload) external {
        (address[] memory chain, bytes[][] memory values, Parameter[] memory extracted, uint256 asked) =
            _judge(msg.sender, payload);
        for (uint256 i = 0; i < asked; i++) {
            // The chain holds at most MAX_POLICIES contracts that the admin chose.
            // slither-disable-next-line calls-loop
            try IPolicy(chain[i]).postRun(payload.sender, msg.sender, payload.selector, values[i], payload.context) {}
            catch (bytes memory err) {
                revert PolicyPostRunError(chain[i], err, payload);
            }
        }
        emit PolicyRunComplete(payload.sender, msg.sender, payload.selector, extracted, payload.context);
    }

    /// @inheritdoc IPolicyEngine
    function check(Payload calldata payload) external view {
        // slither-disable-next-line unused-return
        _judge(msg.sender, payload);
    }

    /// @inheritdoc IPolicyEngine
    function getExtractor(bytes4 selector) external view returns (address) {
        return _extractors[selector];
    }

    /// @inheritdoc IPolicyEngine
    function getPolicyMapper(address policy) external view returns (address) {
        return _mappers[policy];
    }

    /// @inheritdoc IPolicyEngine
    function getPolicies(address target, bytes4 selector) external view returns (address[] memory) {
        return _policiesOf(target, selector);
    }

    /// @notice Whether a target attached itself and has not detached itself since
    function isAttached(address target) external view returns (bool) {
        return _targets[target].isAttached;
    }

    /// @notice What holds for a target when all its policies continue
    function targetDefault(address target) external view returns (Default) {
        return _targets[target].ownDefault;
    }

    /// @inheritdoc IPolicyEngine
    function getPolicyConfigVersion(address policy) external view returns (uint256) {
        return _configVersions[policy];
    }

    function _setExtractor(bytes4 selector, address extractor) private {
        _extractors[selector] = extractor;
        emit ExtractorSet(selector, extractor);
    }

    function _insert(address target, bytes4 selector, address policy, bytes32[] calldata names, uint256 position)
        private
    {
        if (policy == address(0)) revert IPolicy.InvalidParameters("Policy address cannot be zero");
        Step[] storage chain = _chains[target][selector];
        uint256 length = chain.length;
        if (length >= MAX_POLICIES) revert IPolicy.InvalidParameters("Maximum policies reached");
        if (position > length) {
            revert IPolicy.InvalidParameters("Position is greater than the number of policies");
        }
        if (_positionOf(chain, policy) != length) revert IPolicy.InvalidParameters("Policy already added");
        // forge-lint: disable-next-line(unsafe-typecast)
        Step memory step = Step(policy, uint96(names.length));
        chain.push(step);
        for (uint256 i = length; i > position; i--) {
            chain[i] = chain[i - 1];
        }
        chain[position] = step;
        for (uint256 i = 0; i < names.length; i++) {
            _names[target][selector][policy][i] = names[i];
        }
    }

    /// @dev Asks the chain in its order; reverts where the call is refused.
    /// @return chain The policies
    /// @return values Their parameters
    /// @return extracted The call's parameters
    /// @return asked How many policies were asked until one allowed or the chain ended
    function _judge(address target, Payload calldata payload)
        private
        view
        returns (address[] memory chain, bytes[][] memory values, Parameter[] memory extracted, uint256 asked)
    {
        Target memory attached = _targets[target];
        if (!attached.isAttached) revert TargetNotAttached(target);
        Step[] memory steps = _chains[target][payload.selector];
        extracted = _extract(payload);
        chain = new address[](steps.length);
        values = new bytes[][](steps.length);
        while (asked < chain.length) {
            Step memory step = steps[asked];
            chain[asked] = step.policy;
            values[asked] = _valuesFor(target, step, extracted, payload);
            if (_ask(target, step.policy, values[asked++], payload)) return (chain, values, extracted, asked);
        }
        if (chain.length == 0 || !_allowsByDefault(attached.ownDefault)) {
            revert PolicyRunRejected(address(0), "no policy allowed the action and default is reject", payload);
        }
    }

    function _ask(address target, address policy, bytes[] memory values, Payload calldata payload)
        private
        view
        returns (bool allowed)
    {
        // slither-disable-next-line calls-loop
        try IPolicy(policy).run(payload.sender, target, payload.selector, values, payload.context) returns (
            PolicyResult result
        ) {
            if (result == PolicyResult.None) revert PolicyRunError(policy, "", payload);
            return result == PolicyResult.Allowed;
        } catch (bytes memory err) {
            if (err.length < 4 || bytes4(err) != PolicyRejected.selector) revert PolicyRunError(policy, err, payload);
            revert PolicyRunRejected(policy, abi.decode(err.slice(4), (string)), payload);
        }
    }

    function _extract(Payload calldata payload) private view returns (Parameter[] memory) {
        address extractor = _extractors[payload.selector];
        if (extractor == address(0)) return new Parameter[](0);
        try IExtractor(extractor).extract(payload) returns (Parameter[] memory extracted) {
            return extracted;
        } catch (bytes memory err) {
            revert ExtractorError(extractor, err, payload);
        }
    }

    function _valuesFor(address target, Step memory step, Parameter[] memory extracted, Payload calldata payload)
        private
        view
        returns (bytes[] memory values)
    {
        address mapper = _mapperCount == 0 ? address(0) : _mappers[step.policy];
        if (mapper != address(0)) {
            // slither-disable-next-line calls-loop
            try IMapper(mapper).map(extracted) returns (bytes[] memory mapped) {
                return mapped;
            } catch (bytes memory err) {
                revert PolicyMapperError(step.policy, err, payload);
            }
        }
        values = new bytes[](step.parameters);
        for (uint256 i = 0; i < values.length; i++) {
            values[i] = _valueOf(_names[target][payload.selector][step.policy][i], extracted);
        }
    }

    function _policiesOf(address target, bytes4 selector) private view returns (address[] memory policies) {
        Step[] memory steps = _chains[target][selector];
        policies = new address[](steps.length);
        for (uint256 i = 0; i < steps.length; i++) {
            policies[i] = steps[i].policy;
        }
    }

    function _allowsByDefault(Default own) private view returns (bool) {
        return own == Default.Inherited ? defaultAllows : own == Default.Allow;
    }

    function _positionOf(Step[] storage chain, address policy) private view returns (uint256 position) {
        uint256 length = chain.length;
        while (position < length && chain[position].policy != policy) position++;
    }

    /// @dev What only the engine itself tells policies: as configuration it would count calls that nobody made.
    function _isHook(bytes4 selector) private pure returns (bool) {
        return selector == IPolicy.postRun.selector || selector == IPolicy.onInstall.selector
            || selector == IPolicy.onUninstall.selector;
    }

    function _valueOf(bytes32 name, Parameter[] memory extracted) private pure returns (bytes memory) {
        for (uint256 i = 0; i < extracted.length; i++) {
            if (extracted[i].name == name) return extracted[i].value;
        }
        revert IPolicy.InvalidParameters("Missing policy parameters");
    }
}
