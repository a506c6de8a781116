// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICredentialDataValidator} from "../../interfaces/ICredentialDataValidator.sol";
import {ICredentialRegistry} from "../../interfaces/ICredentialRegistry.sol";
import {ICredentialRequirements} from "../../interfaces/ICredentialRequirements.sol";
import {IIdentityRegistry} from "../../interfaces/IIdentityRegistry.sol";
import {IIdentityValidator} from "../../interfaces/IIdentityValidator.sol";
import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {Policy} from "./Policy.sol";

/// @title Refuses accounts whose identity lacks a demanded credential
/// @notice One parameter or more: accounts, all of which must pass. An account without an identity in any source of a requirement fails it,
/// an inverted one too.
/// @dev The owner edits requirements and sources. To stop everyone: remove all requirements.
contract CredentialValidatorPolicy is ICredentialRequirements, IIdentityValidator, Policy {
    uint256 public constant MAX_REQUIREMENTS = 8;
    uint256 public constant MAX_SOURCES = 8;
    uint256 public constant MAX_TYPES = 32;

    bytes32[] private _requirementIds;
    mapping(bytes32 requirementId => CredentialRequirement) private _requirements;
    // Written through references, which slither does not follow.
    // slither-disable-next-line uninitialized-state
    mapping(bytes32 credentialTypeId => CredentialSource[]) private _sources;

    constructor(
        address engine,
        address initialOwner,
        CredentialSourceInput[] memory sources,
        CredentialRequirementInput[] memory requirements
    ) Policy(engine, initialOwner) {
        for (uint256 i = 0; i < sources.length; i++) {
            _addSource(sources[i]);
        }
        for (uint256 i = 0; i < requirements.length; i++) {
            _addRequirement(requirements[i]);
        }
    }

    /// @inheritdoc ICredentialRequirements
    function addCredentialRequirement(CredentialRequirementInput calldata input) external onlyOwner {
        _addRequirement(input);
    }

    /// @inheritdoc ICredentialRequirements
    function removeCredentialRequirement(bytes32 requirementId) external onlyOwner {
        CredentialRequirement memory gone = _requirements[requirementId];
        if (gone.minValidations == 0) revert RequirementNotFound(requirementId);
        uint256 last = _requirementIds.length - 1;
        for (uint256 i = 0; i < last; i++) {
            if (_requirementIds[i] == requirementId) _requirementIds[i] = _requirementIds[last];
        }
        _requirementIds.pop();
        delete _requirements[requirementId];
        emit CredentialRequirementRemoved(requirementId, gone.credentialTypeIds, gone.minValidations, gone.invert);
    }

    /// @inheritdoc ICredentialRequirements
    function addCredentialSource(CredentialSourceInput calldata input) external onlyOwner {
        _addSource(input);
    }

    /// @inheritdoc ICredentialRequirements
    function removeCredentialSource(bytes32 credentialTypeId, address identityRegistry, address credentialRegistry)
        external
        onlyOwner
    {
        CredentialSource[] storage sources = _sources[credentialTypeId];
        uint256 position = _positionOf(sources, identityRegistry, credentialRegistry);
        uint256 length = sources.length;
        if (position == length) {
            revert CredentialSourceNotFound(credentialTypeId, identityRegistry, credentialRegistry);
        }
        address dataValidator = sources[position].dataValidator;
        sources[position] = sources[length - 1];
        sources.pop();
        emit CredentialSourceRemoved(credentialTypeId, identityRegistry, credentialRegistry, dataValidator);
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "CredentialValidatorPolicy 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc IPolicy
    function run(address, address, bytes4, bytes[] calldata parameters, bytes calldata context)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        if (parameters.length == 0) revert InvalidParameters("expected at least 1 parameter");
        for (uint256 i = 0; i < parameters.length; i++) {
            if (!validate(abi.decode(parameters[i], (address)), context)) {
                revert IPolicyEngine.PolicyRejected("account identity validation failed");
            }
        }
        return IPolicyEngine.PolicyResult.Continue;
    }

    /// @inheritdoc ICredentialRequirements
    function getCredentialRequirement(bytes32 requirementId) external view returns (CredentialRequirement memory) {
        return _requirements[requirementId];
    }

    /// @inheritdoc ICredentialRequirements
    function getCredentialRequirementIds() external view returns (bytes32[] memory) {
        return _requirementIds;
    }

    /// @inheritdoc ICredentialRequirements
    function getCredentialSources(bytes32 credentialTypeId) external view returns (CredentialSource[] memory) {
        return _sources[credentialTypeId];
    }

    /// @inheritdoc IIdentityValidator
    function validate(address account, bytes calldata context) public view returns (bool) {
        uint256 length = _requirementIds.length;
        for (uint256 i = 0; i < length; i++) {
            if (!_isMet(_requirements[_requirementIds[i]], account, context)) return false;
        }
        return length > 0;
    }

    function _addRequirement(CredentialRequirementInput memory input) private {
        uint256 types = input.credentialTypeIds.length;
        if (_requirements[input.requirementId].minValidations != 0) revert RequirementExists(input.requirementId);
        if (_requirementIds.length >= MAX_REQUIREMENTS) {
            revert InvalidRequirementConfiguration("Max requirements reached");
        }
        if (input.minValidations == 0) {
            revert InvalidRequirementConfiguration("minValidations must be greater than 0");
        }
        if (types > MAX_TYPES || input.minValidations > types) {
            revert InvalidRequirementConfiguration("Invalid credential types length");
        }
        _requirementIds.push(input.requirementId);
        _requirements[input.requirementId] =
            CredentialRequirement(input.credentialTypeIds, input.minValidations, input.invert);
        emit CredentialRequirementAdded(
            input.requirementId, input.credentialTypeIds, input.minValidations, input.invert
        );
    }

    function _addSource(CredentialSourceInput memory input) private {
        CredentialSource[] storage sources = _sources[input.credentialTypeId];
        if (input.identityRegistry == address(0) || input.credentialRegistry == address(0)) {
            revert InvalidRequirementConfiguration("Registries cannot be empty");
        }
        if (sources.length >= MAX_SOURCES) {
            revert InvalidRequirementConfiguration("Max credential sources reached for credential type");
        }
        if (_positionOf(sources, input.identityRegistry, input.credentialRegistry) != sources.length) {
            revert SourceExists(input.credentialTypeId, input.identityRegistry, input.credentialRegistry);
        }
        sources.push(CredentialSource(input.identityRegistry, input.credentialRegistry, input.dataValidator));
        emit CredentialSourceAdded(
            input.credentialTypeId, input.identityRegistry, input.credentialRegistry, input.dataValidator
        );
    }

    function _isMet(CredentialRequirement storage requirement, address account, bytes calldata context)
        private
        view
        returns (bool)
    {
        bytes32[] memory types = requirement.credentialTypeIds;
        bool isInverted = requirement.invert;
        uint256 met = 0;
        for (uint256 i = 0; i < types.length; i++) {
            (bool isKnown, bool holds) = _lookUp(types[i], account, isInverted, context);
            if (isKnown && holds != isInverted) met++;
        }
        return met >= requirement.minValidations;
    }

    /// @dev A flag counts whatever is written beside it. Lists are short (MAX_SOURCES) and the registries are those that the owner named.
    function _lookUp(bytes32 credentialTypeId, address account, bool isInverted, bytes calldata context)
        private
        view
        returns (bool isKnown, bool holds)
    {
        CredentialSource[] memory sources = _sources[credentialTypeId];
        for (uint256 i = 0; i < sources.length && !holds; i++) {
            // slither-disable-next-line calls-loop
            bytes32 ccid = IIdentityRegistry(sources[i].identityRegistry).getIdentity(account);
            if (ccid == bytes32(0)) continue;
            isKnown = true;
            // slither-disable-next-line calls-loop
            holds = ICredentialRegistry(sources[i].credentialRegistry).validate(ccid, credentialTypeId, context)
                && (isInverted || _hasGoodData(sources[i], ccid, account, credentialTypeId, context));
        }
    }

    function _hasGoodData(
        CredentialSource memory source,
        bytes32 ccid,
        address account,
        bytes32 credentialTypeId,
        bytes calldata context
    ) private view returns (bool) {
        if (source.dataValidator == address(0)) return true;
        // slither-disable-start calls-loop
        bytes memory data =
            ICredentialRegistry(source.credentialRegistry).getCredential(ccid, credentialTypeId).credentialData;
        return ICredentialDataValidator(source.dataValidator)
            .validateCredentialData(ccid, account, credentialTypeId, data, context);
        // slither-disable-end calls-loop
    }

    function _positionOf(CredentialSource[] storage sources, address identityRegistry, address credentialRegistry)
        private
        view
        returns (uint256 position)
    {
        uint256 length = sources.length;
        while (
            position < length
                && (sources[position].identityRegistry != identityRegistry
                    || sources[position].credentialRegistry != credentialRegistry)
        ) position++;
    }
}
