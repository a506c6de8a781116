// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {Policy} from "./Policy.sol";

/// @title Refuses amounts above a maximum
/// @notice One parameter: the amount. The maximum itself passes.
/// @dev The owner sets the maximum. To stop everything but zero: setMax(0).
contract MaxPolicy is Policy {
    uint256 private _max;

    /// @notice The maximum was set; ACE's policy says nothing there, and who keeps verdicts must hear of it
    event MaxSet(uint256 max);

    constructor(address engine, address initialOwner, uint256 max) Policy(engine, initialOwner) {
        _set(max);
    }

    /// @notice Set the maximum. Owner only.
    function setMax(uint256 max) external onlyOwner {
        _set(max);
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "MaxPolicy 1.0.0 (ReFi.Trading)";
    }

    /// @notice The largest allowed amount
    function getMax() external view returns (uint256) {
        return _max;
    }

    /// @inheritdoc IPolicy
    function run(address, address, bytes4, bytes[] calldata parameters, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        if (abi.decode(_only(parameters), (uint256)) > _max) {
            revert IPolicyEngine.PolicyRejected("amount exceeds maximum limit");
        }
        return IPolicyEngine.PolicyResult.Continue;
    }

    function _set(uint256 max) private {
        _max = max;
        emit MaxSet(max);
    }
}
