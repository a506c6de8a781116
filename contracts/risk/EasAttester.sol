// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IEAS} from "../interfaces/IEAS.sol";
import {ISchemaRegistry} from "../interfaces/ISchemaRegistry.sol";
import {ISchemaResolver} from "../interfaces/ISchemaResolver.sol";

/// @title EasAttester
/// @notice Repeats attestations to the Ethereum Attestation Service where it stands, under a schema that nobody else can use.
/// @dev The schema's resolver is this contract, which accepts attestations that it made itself and no revocation.
abstract contract EasAttester is ISchemaResolver {
    IEAS private constant SERVICE = IEAS(0x4200000000000000000000000000000000000021);
    ISchemaRegistry private constant SCHEMAS = ISchemaRegistry(0x4200000000000000000000000000000000000020);
    bool private constant REVOCABLE = false;
    /// @dev More than an attestation takes there. Demanded beforehand: with less, an estimate of gas would settle on what
    /// the attestation takes alone, and the service would never hear of it.
    uint256 private constant SERVICE_GAS = 600_000;

    /// @notice The schema's id, zero where the service did not stand (or did not know it) when this contract was made.
    bytes32 public immutable SCHEMA;

    /// @notice The service keeps a copy of an attestation.
    event EasAttested(bytes32 indexed attestationId, bytes32 indexed uid);
    /// @notice The service keeps no copy of an attestation, which stands without it.
    event EasFailed(bytes32 indexed attestationId);

    error TooLittleGas(uint256 needed, uint256 left);

    constructor(string memory schema) {
        if (address(SERVICE).code.length == 0 || address(SCHEMAS).code.length == 0) return;
        bytes32 uid = keccak256(abi.encodePacked(schema, address(this), REVOCABLE));
        bytes memory register = abi.encodeCall(ISchemaRegistry.register, (schema, address(this), REVOCABLE));
        bytes memory find = abi.encodeCall(ISchemaRegistry.getSchema, (uid));
        address registry = address(SCHEMAS);
        bytes32 found;
        // A chain may have no more than an empty proxy there, and anyone may have registered this very schema for this
        // address before: what counts is that the registry knows it
        assembly ("memory-safe") {
            pop(call(gas(), registry, 0, add(register, 32), mload(register), 0, 0))
            let done := staticcall(gas(), registry, add(find, 32), mload(find), 0, 64)
            if and(done, gt(returndatasize(), 63)) { found := mload(32) }
        }
        if (found == uid) SCHEMA = uid;
    }

    /// @inheritdoc ISchemaResolver
    function attest(IEAS.Attestation calldata attestation) external returns (bool) {
        return msg.sender == address(SERVICE) && attestation.attester == address(this);
    }

    /// @inheritdoc ISchemaResolver
    function multiAttest(IEAS.Attestation[] calldata, uint256[] calldata) external returns (bool) {
        return false;
    }

    /// @inheritdoc ISchemaResolver
    function revoke(IEAS.Attestation calldata) external returns (bool) {
        return false;
    }

    /// @inheritdoc ISchemaResolver
    function multiRevoke(IEAS.Attestation[] calldata, uint256[] calldata) external returns (bool) {
        return false;
    }

    /// @inheritdoc ISchemaResolver
    function isPayable() external pure returns (bool) {
        return false;
    }

    /// @dev Whatever the service does, this returns.
    function _repeat(bytes32 attestationId, address recipient, bytes memory data) internal {
        IEAS.AttestationRequest memory request =
            IEAS.AttestationRequest(SCHEMA, IEAS.AttestationRequestData(recipient, 0, REVOCABLE, 0, data, 0));
        uint256 needed = SERVICE_GAS + SERVICE_GAS / 32; // a call gets 63/64 of what there is
        if (gasleft() < needed) revert TooLittleGas(needed, gasleft());
        bytes memory asked = abi.encodeCall(IEAS.attest, (request));
        address service = address(SERVICE);
        bool done;
        bytes32 uid;
        // Not `try`: it would revert on an answer that is no word, or copy one of any length
        assembly ("memory-safe") {
            done := call(SERVICE_GAS, service, 0, add(asked, 32), mload(asked), 0, 32)
            done := and(done, eq(returndatasize(), 32))
            uid := mload(0)
        }
        if (done) emit EasAttested(attestationId, uid);
        else emit EasFailed(attestationId);
    }
}
