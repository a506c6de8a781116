// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {AddressListPolicy} from "./AddressListPolicy.sol";
import {Policy} from "./Policy.sol";

/// @title Refuses calls that name an address on its list
/// @notice One parameter or more: addresses, none of which may be listed.
/// @dev The owner edits the list. To stop it: take all off.
contract RejectPolicy is AddressListPolicy {
    /// @notice The account was put on the list
    event AddressRejected(address indexed account);
    /// @notice The account was taken off the list
    event AddressUnrejected(address indexed account);

    constructor(address engine, address initialOwner) Policy(engine, initialOwner) {}

    /// @notice Put an account on the list. Owner only.
    function rejectAddress(address account) external onlyOwner {
        _list(account, true);
        emit AddressRejected(account);
    }

    /// @notice Take an account off the list. Owner only.
    function unrejectAddress(address account) external onlyOwner {
        _list(account, false);
        emit AddressUnrejected(account);
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "RejectPolicy 1.0.0 (ReFi.Trading)";
    }

    /// @notice Whether the account is on the list
    function addressRejected(address account) external view returns (bool) {
        return _listed[account];
    }

    /// @inheritdoc IPolicy
    function run(address, address, bytes4, bytes[] calldata parameters, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        if (_countListed(parameters) > 0) revert IPolicyEngine.PolicyRejected("address is on reject list");
        return IPolicyEngine.PolicyResult.Continue;
    }
}
