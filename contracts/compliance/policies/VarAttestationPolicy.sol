// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {ISlidingVolume} from "../../interfaces/ISlidingVolume.sol";
import {IVarAttestor} from "../../interfaces/IVarAttestor.sol";
import {Policy} from "./Policy.sol";
import {StewardedPolicy} from "./StewardedPolicy.sol";

/// @title Refuses accounts whose risk was not proved lately to be under its limit
/// @notice One parameter: the account. Its newest attestation under the policy is fresh until `maxAge` seconds after its
/// epoch's end; until `maxAge` seconds after its first volume an account needs none.
/// @dev Attestations exist only under their policy's limits: a proof over them is rejected (IVarAttestor). That the
/// committed positions are the account's is what the attester says, whichever log it attests for: its owner must name
/// attesters whom it trusts about every account, and another operator's log takes an attestor of its own.
/// Owner: sets age and steward. Steward: sets the age. To stop everyone: take the attesters' role away, or an age of one
/// second.
contract VarAttestationPolicy is StewardedPolicy {
    IVarAttestor public immutable attestor;
    bytes32 public immutable policyId;
    ISlidingVolume public immutable volumes;
    uint64 private _maxAge;

    /// @notice An age of zero, or one that no clock reaches
    error InvalidAge(uint256 maxAge);

    /// @notice Attestations are fresh for another time
    event MaxAgeSet(uint64 maxAge);

    constructor(
        address engine,
        address initialOwner,
        IVarAttestor varAttestor,
        bytes32 varPolicyId,
        ISlidingVolume slidingVolume,
        uint64 maxAge
    ) Policy(engine, initialOwner) {
        attestor = varAttestor;
        policyId = varPolicyId;
        volumes = slidingVolume;
        _setMaxAge(maxAge);
        // Neither may be an address that cannot answer: every order would fail.
        // slither-disable-next-line unused-return
        varAttestor.nextEpochOf(address(this), varPolicyId);
        // slither-disable-next-line unused-return
        slidingVolume.firstVolumeAt(address(this));
    }

    /// @notice Set for how many seconds attestations are fresh. Owner or steward.
    function setMaxAge(uint256 maxAge) external onlyOwnerOrSteward {
        _setMaxAge(maxAge);
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "VarAttestationPolicy 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc IPolicy
    function run(address, address, bytes4, bytes[] calldata parameters, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        address account = abi.decode(_only(parameters), (address));
        uint256 maxAge = _maxAge;
        // The end of the newest attested epoch, zero before the first; one that has not begun says nothing yet.
        uint256 attestedUntil = attestor.nextEpochOf(account, policyId) * 1 days;
        if (
            attestedUntil != 0 && attestedUntil <= block.timestamp + 1 days && block.timestamp <= attestedUntil + maxAge
        ) return IPolicyEngine.PolicyResult.Continue;
        uint256 tradesSince = volumes.firstVolumeAt(account);
        if (tradesSince == 0 || block.timestamp <= tradesSince + maxAge) return IPolicyEngine.PolicyResult.Continue;
        revert IPolicyEngine.PolicyRejected(attestedUntil == 0
                ? "account's risk is not attested"
                : "account's risk attestation is not fresh");
    }

    /// @notice For how many seconds attestations are fresh
    function getMaxAge() external view returns (uint256) {
        return _maxAge;
    }

    function _setMaxAge(uint256 maxAge) private {
        if (maxAge == 0 || maxAge > type(uint64).max) revert InvalidAge(maxAge);
        // forge-lint: disable-next-line(unsafe-typecast)
        _maxAge = uint64(maxAge);
        emit MaxAgeSet(_maxAge);
    }
}
