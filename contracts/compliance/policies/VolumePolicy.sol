// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {Policy} from "./Policy.sol";
import {StewardedPolicy} from "./StewardedPolicy.sol";

/// @title Refuses amounts below a minimum or above a maximum
/// @notice One parameter: the amount. Both limits are inside; a maximum of 0 is none. The outer bound of
/// every order, whatever its account.
/// @dev The owner sets the limits and the steward, the steward the maximum; none is the owner's alone. To stop
/// everything: pause.
contract VolumePolicy is StewardedPolicy {
    uint256 private _min;
    uint256 private _max;

    /// @notice The minimum would not lie below the maximum
    error InvalidLimits(uint256 min, uint256 max);

    /// @notice The minimum changed
    event MinVolumeSet(uint256 minAmount);
    /// @notice The maximum changed
    event MaxVolumeSet(uint256 maxAmount);

    constructor(address engine, address initialOwner, uint256 minAmount, uint256 maxAmount)
        Policy(engine, initialOwner)
    {
        _set(minAmount, maxAmount);
    }

    /// @notice Set the minimum. Owner only.
    function setMin(uint256 minAmount) external onlyOwner {
        if (minAmount == _min) revert Unchanged();
        _set(minAmount, _max);
    }

    /// @notice Set the maximum, 0 for none. Owner or, except for 0, steward.
    function setMax(uint256 maxAmount) external onlyOwnerOrSteward {
        if (maxAmount == 0) _checkOwner();
        if (maxAmount == _max) revert Unchanged();
        _set(_min, maxAmount);
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "VolumePolicy 1.0.0 (ReFi.Trading)";
    }

    /// @notice The smallest allowed amount
    function getMin() external view returns (uint256) {
        return _min;
    }

    /// @notice The largest allowed amount, 0 for any
    function getMax() external view returns (uint256) {
        return _max;
    }

    /// @inheritdoc IPolicy
    function run(address, address, bytes4, bytes[] calldata parameters, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        uint256 amount = abi.decode(_only(parameters), (uint256));
        if (amount < _min || (_max != 0 && amount > _max)) {
            revert IPolicyEngine.PolicyRejected("amount outside allowed volume limits");
        }
        return IPolicyEngine.PolicyResult.Continue;
    }

    function _set(uint256 minAmount, uint256 maxAmount) private {
        if (minAmount >= maxAmount && maxAmount != 0) revert InvalidLimits(minAmount, maxAmount);
        if (minAmount != _min) emit MinVolumeSet(minAmount);
        if (maxAmount != _max) emit MaxVolumeSet(maxAmount);
        _min = minAmount;
        _max = maxAmount;
    }
}
