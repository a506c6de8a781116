// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICertifiedActionValidator} from "../../interfaces/ICertifiedActionValidator.sol";
import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {Policy} from "./Policy.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @title Refuses calls without an issuer's permit; implements ICertifiedActionValidator, which says how
/// @notice Any parameters: the permit names their values. Its signature binds the chain and this contract.
contract CertifiedActionPolicy is ICertifiedActionValidator, Policy, EIP712 {
    bytes32 private constant PERMIT_TYPE_HASH = keccak256(
        "Permit(bytes32 permitId,address caller,address subject,bytes4 selector,bytes[] parameters,bytes metadata,uint64 maxUses,uint48 expiry)"
    );

    /// @dev What is known of a permit; `issuer`, `maxUses` and `expiry` once it was presented.
    struct State {
        address issuer;
        uint64 maxUses;
        uint48 expiry;
        uint64 uses;
        bool isRevoked;
    }

    mapping(address issuer => bool) private _issuers;
    mapping(bytes32 permitId => State) private _states;
    mapping(bytes32 intent => bytes32 permitId) private _presented;

    /// @notice The signature has no valid form: its length, or its s in the upper half of the curve's order
    error InvalidSignatureFormat(ECDSA.RecoverError fault, bytes32 detail);
    /// @notice Nobody signs for the zero address
    error ZeroIssuer();

    constructor(address engine, address initialOwner, address[] memory issuers)
        Policy(engine, initialOwner)
        EIP712("CertifiedActionValidator", "1")
    {
        for (uint256 i = 0; i < issuers.length; i++) {
            _setIssuer(issuers[i], true);
        }
    }

    /// @inheritdoc ICertifiedActionValidator
    function present(Permit calldata permit, bytes calldata signature) external {
        State storage state = _states[permit.permitId];
        bytes32 intent = _intentOf(permit.caller, permit.subject, permit.selector, permit.parameters);
        bytes32 inPlace = _presented[intent];
        // One that another displaced may come back: else whoever holds a shorter one could end a longer one with it.
        if (state.issuer != address(0) && (inPlace == bytes32(0) || inPlace == permit.permitId)) {
            revert PermitAlreadyPresented(permit.permitId);
        }
        if (state.isRevoked) revert PermitAlreadyRevoked(permit.permitId);
        address issuer = _signerOf(permit, signature);
        if (!_issuers[issuer]) revert InvalidSignature(permit.permitId);
        // An old permit that anybody has seen must not take a good one's place.
        if (!_isUsable(issuer, permit.permitId, permit.maxUses, permit.expiry)) {
            revert PermitExpired(permit.permitId, permit.expiry);
        }
        // An id keeps the terms under which it was presented first.
        if (state.issuer == address(0)) {
            (state.issuer, state.maxUses, state.expiry) = (issuer, permit.maxUses, permit.expiry);
        }
        _presented[intent] = permit.permitId;
        emit PermitStored(permit.permitId);
    }

    /// @inheritdoc ICertifiedActionValidator
    function revoke(bytes32 permitId) external onlyOwner {
        _states[permitId].isRevoked = true;
        emit PermitRevoked(permitId);
    }

    /// @inheritdoc ICertifiedActionValidator
    function allowIssuer(bytes calldata issuerKey) external onlyOwner {
        _setIssuer(abi.decode(issuerKey, (address)), true);
    }

    /// @inheritdoc ICertifiedActionValidator
    function disAllowIssuer(bytes calldata issuerKey) external onlyOwner {
        _setIssuer(abi.decode(issuerKey, (address)), false);
    }

    /// @inheritdoc Policy
    function postRun(
        address caller,
        address subject,
        bytes4 selector,
        bytes[] calldata parameters,
        bytes calldata context
    ) external override onlyPolicyEngine {
        bytes32 permitId = _presented[_intentOf(caller, subject, selector, parameters)];
        // The run before has judged the context.
        if (permitId == bytes32(0)) permitId = abi.decode(context, (SignedPermit)).permit.permitId;
        _states[permitId].uses++;
        emit PermitUsed(permitId);
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "CertifiedActionPolicy 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc ICertifiedActionValidator
    function check(Permit calldata permit, bytes calldata signature) external view returns (bool) {
        return _isGood(permit, signature);
    }

    /// @inheritdoc ICertifiedActionValidator
    function getUsage(bytes32 permitId) external view returns (uint256) {
        return _states[permitId].uses;
    }

    /// @inheritdoc ICertifiedActionValidator
    function getIssuerAllowed(bytes calldata issuerKey) external view returns (bool) {
        return _issuers[abi.decode(issuerKey, (address))];
    }

    /// @inheritdoc IPolicy
    function run(address caller, address subject, bytes4 selector, bytes[] calldata parameters, bytes calldata context)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        bytes32 intent = _intentOf(caller, subject, selector, parameters);
        bytes32 permitId = _presented[intent];
        if (permitId != bytes32(0)) {
            State memory state = _states[permitId];
            if (!_isUsable(state.issuer, permitId, state.maxUses, state.expiry)) {
                revert IPolicyEngine.PolicyRejected("no valid pre-presented permit found");
            }
            return IPolicyEngine.PolicyResult.Continue;
        }
        if (context.length == 0) revert IPolicyEngine.PolicyRejected("no valid permit found");
        SignedPermit memory signed = abi.decode(context, (SignedPermit));
        Permit memory permit = signed.permit;
        bool isMeant = _intentOf(permit.caller, permit.subject, permit.selector, permit.parameters) == intent;
        if (!isMeant || !_isGood(permit, signed.signature)) {
            revert IPolicyEngine.PolicyRejected("invalid signed permit in context");
        }
        return IPolicyEngine.PolicyResult.Continue;
    }

    /// @notice The EIP-712 hash that an issuer signs
    function hashTypedDataV4Permit(Permit memory permit) public view returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](permit.parameters.length);
        for (uint256 i = 0; i < hashes.length; i++) {
            hashes[i] = keccak256(permit.parameters[i]);
        }
        bytes memory action = abi.encode(
            PERMIT_TYPE_HASH,
            permit.permitId,
            permit.caller,
            permit.subject,
            permit.selector,
            keccak256(abi.encodePacked(hashes))
        );
        bytes memory terms = abi.encode(keccak256(permit.metadata), permit.maxUses, permit.expiry);
        return _hashTypedDataV4(keccak256(bytes.concat(action, terms)));
    }

    function _setIssuer(address issuer, bool isAllowed) private {
        if (issuer == address(0)) revert ZeroIssuer();
        bytes memory issuerKey = abi.encode(issuer);
        if (_issuers[issuer] == isAllowed) revert IssuerAllowedAlreadySet(issuerKey, isAllowed);
        _issuers[issuer] = isAllowed;
        if (isAllowed) emit IssuerAllowed(issuerKey);
        else emit IssuerDisAllowed(issuerKey);
    }

    function _isGood(Permit memory permit, bytes memory signature) private view returns (bool) {
        return _isUsable(_signerOf(permit, signature), permit.permitId, permit.maxUses, permit.expiry);
    }

    function _signerOf(Permit memory permit, bytes memory signature) private view returns (address) {
        (address signer, ECDSA.RecoverError fault, bytes32 detail) =
            ECDSA.tryRecover(hashTypedDataV4Permit(permit), signature);
        if (fault != ECDSA.RecoverError.NoError) revert InvalidSignatureFormat(fault, detail);
        return signer;
    }

    function _isUsable(address issuer, bytes32 permitId, uint64 maxUses, uint48 expiry) private view returns (bool) {
        State memory state = _states[permitId];
        return _issuers[issuer] && !state.isRevoked && (expiry == 0 || block.timestamp <= expiry)
            && (maxUses == 0 || state.uses < maxUses);
    }

    function _intentOf(address caller, address subject, bytes4 selector, bytes[] memory parameters)
        private
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(caller, subject, selector, parameters));
    }
}
