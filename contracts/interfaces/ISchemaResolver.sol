// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IEAS} from "./IEAS.sol";

/// @title ISchemaResolver
/// @notice Whom the Ethereum Attestation Service asks before it keeps an attestation under the resolver's schema.
/// @dev For resolvers that take no value: nothing here is payable.
interface ISchemaResolver {
    /// @notice Whether value may be sent along.
    function isPayable() external pure returns (bool);

    /// @notice Whether an attestation is accepted.
    function attest(IEAS.Attestation calldata attestation) external returns (bool);

    /// @notice Whether all of these are accepted.
    function multiAttest(IEAS.Attestation[] calldata attestations, uint256[] calldata values) external returns (bool);

    /// @notice Whether an attestation may be revoked.
    function revoke(IEAS.Attestation calldata attestation) external returns (bool);

    /// @notice Whether all of these may be revoked.
    function multiRevoke(IEAS.Attestation[] calldata attestations, uint256[] calldata values) external returns (bool);
}
