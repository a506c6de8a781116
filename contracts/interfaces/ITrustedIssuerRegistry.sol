// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Which issuers of credentials are trusted
/// @notice ABI of Chainlink ACE 1.0.0. An issuer is named by a string of its own (a DID, a legal entity identifier).
/// @dev Writing is guarded by the policy engine. To stop trusting: removeTrustedIssuer.
interface ITrustedIssuerRegistry {
    /// @notice The issuer is trusted
    event TrustedIssuerAdded(bytes32 indexed issuerIdHash, string issuerId);
    /// @notice The issuer is not trusted any more
    event TrustedIssuerRemoved(bytes32 indexed issuerIdHash, string issuerId);

    /// @notice Name and version of the implementation
    function typeAndVersion() external pure returns (string memory);

    /// @notice Trust an issuer
    function addTrustedIssuer(string memory issuerId, bytes calldata context) external;

    /// @notice Trust it no longer
    function removeTrustedIssuer(string memory issuerId, bytes calldata context) external;

    /// @notice Whether an issuer is trusted
    function isTrustedIssuer(string memory issuerId) external view returns (bool);

    /// @notice keccak256 of every trusted issuer's name
    function getTrustedIssuers() external view returns (bytes32[] memory);
}
