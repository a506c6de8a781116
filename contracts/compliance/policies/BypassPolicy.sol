// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {AddressListPolicy} from "./AddressListPolicy.sol";
import {Policy} from "./Policy.sol";

/// @title Allows calls that name listed addresses only, without asking the rest of the chain
/// @notice One parameter or more: addresses. Where one of them is not listed, the chain goes on.
/// @dev The owner edits the list. What stands before it in the chain still refuses; nothing behind it does. To stop it:
/// take all off.
contract BypassPolicy is AddressListPolicy {
    /// @notice The account was put on the list
    event AddressAllowed(address indexed account);
    /// @notice The account was taken off the list
    event AddressDisallowed(address indexed account);

    constructor(address engine, address initialOwner) Policy(engine, initialOwner) {}

    /// @notice Put an account on the list. Owner only.
    function allowAddress(address account) external onlyOwner {
        _list(account, true);
        emit AddressAllowed(account);
    }

    /// @notice Take an account off the list. Owner only.
    function disallowAddress(address account) external onlyOwner {
        _list(account, false);
        emit AddressDisallowed(account);
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "BypassPolicy 1.0.0 (ReFi.Trading)";
    }

    /// @notice Whether the account is on the list
    function addressAllowed(address account) external view returns (bool) {
        return _listed[account];
    }

    /// @inheritdoc IPolicy
    function run(address, address, bytes4, bytes[] calldata parameters, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        bool isListed = _countListed(parameters) == parameters.length;
        return isListed ? IPolicyEngine.PolicyResult.Allowed : IPolicyEngine.PolicyResult.Continue;
    }
}
