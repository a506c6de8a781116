// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {AddressListPolicy} from "./AddressListPolicy.sol";
import {Policy} from "./Policy.sol";

/// @title Refuses calls that name an address outside its list
/// @notice One parameter or more: addresses, all of which must be listed. The rest of the chain is asked all the same.
/// @dev The owner edits the list. To stop everyone: take all off.
contract AllowPolicy is AddressListPolicy {
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
        return "AllowPolicy 1.0.0 (ReFi.Trading)";
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
        if (_countListed(parameters) != parameters.length) {
            revert IPolicyEngine.PolicyRejected("address is not on allow list");
        }
        return IPolicyEngine.PolicyResult.Continue;
    }
}
