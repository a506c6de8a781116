// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Accepts permits for single actions that an issuer has signed (EIP-712)
/// @notice ABI of Chainlink ACE 1.0.0. A permit comes in the call's context, or is presented beforehand. Once one was
/// presented for an intent (caller, subject, selector and parameters), only presented permits count for that intent.
/// @dev The owner names issuers and revokes permits; anyone may present. To stop it: disallow every issuer, whose
/// presented permits then count no more.
interface ICertifiedActionValidator {
    /// @param permitId The issuer's number for it
    /// @param caller Who may call
    /// @param subject The protected contract
    /// @param selector The protected function
    /// @param parameters The policy's parameters of the call
    /// @param metadata Whatever the issuer adds; signed, not judged
    /// @param maxUses How often it may be used, 0 for without end
    /// @param expiry Unix time until which it may be used, 0 for ever
    struct Permit {
        bytes32 permitId;
        address caller;
        address subject;
        bytes4 selector;
        bytes[] parameters;
        bytes metadata;
        uint64 maxUses;
        uint48 expiry;
    }

    /// @notice What a call's context holds, ABI-encoded
    struct SignedPermit {
        Permit permit;
        bytes signature;
    }

    /// @notice The signature is not an allowed issuer's
    error InvalidSignature(bytes32 permitId);
    /// @notice The permit is over, or used up
    error PermitExpired(bytes32 permitId, uint48 expiration);
    /// @notice The issuer is allowed, or not, already
    error IssuerAllowedAlreadySet(bytes issuerKey, bool allowed);
    /// @notice The permit was presented before and no other is in its place
    error PermitAlreadyPresented(bytes32 permitId);
    /// @notice The permit was revoked
    error PermitAlreadyRevoked(bytes32 permitId);

    /// @notice An issuer may sign permits
    event IssuerAllowed(bytes issuerKey);
    /// @notice An issuer may not sign permits any more
    event IssuerDisAllowed(bytes issuerKey);
    /// @notice A permit was presented
    event PermitStored(bytes32 indexed permitId);
    /// @notice A permit was used
    event PermitUsed(bytes32 indexed permitId);
    /// @notice A permit was revoked
    event PermitRevoked(bytes32 indexed permitId);

    /// @notice Keep a permit for its intent, in place of the one kept before
    function present(Permit calldata permit, bytes calldata signature) external;

    /// @notice Whether a permit would be accepted now
    function check(Permit calldata permit, bytes calldata signature) external view returns (bool);

    /// @notice Make a permit worthless, presented or not
    function revoke(bytes32 permitId) external;

    /// @notice How often a permit was used
    function getUsage(bytes32 permitId) external view returns (uint256);

    /// @notice Let an issuer sign permits
    /// @param issuerKey abi.encode(address)
    function allowIssuer(bytes calldata issuerKey) external;

    /// @notice Let it no longer
    function disAllowIssuer(bytes calldata issuerKey) external;

    /// @notice Whether an issuer may sign permits
    function getIssuerAllowed(bytes calldata issuerKey) external view returns (bool);
}
