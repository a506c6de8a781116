// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {AddressListPolicy} from "./AddressListPolicy.sol";
import {Policy} from "./Policy.sol";

/// @title Refuses callers that are not on its list
/// @dev The owner edits the list. To stop everyone: take all off.
contract AuthorizedSenderPolicy is AddressListPolicy {
    /// @notice The account may call
    event SenderAuthorized(address indexed account);
    /// @notice The account may not call any more
    event SenderUnauthorized(address indexed account);

    constructor(address engine, address initialOwner, address[] memory accounts) Policy(engine, initialOwner) {
        for (uint256 i = 0; i < accounts.length; i++) {
            _list(accounts[i], true);
            emit SenderAuthorized(accounts[i]);
        }
    }

    /// @notice Put an account on the list
    function authorizeSender(address account) external onlyOwner {
        _list(account, true);
        emit SenderAuthorized(account);
    }

    /// @notice Take an account off the list
    function unauthorizeSender(address account) external onlyOwner {
        _list(account, false);
        emit SenderUnauthorized(account);
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "AuthorizedSenderPolicy 1.0.0 (ReFi.Trading)";
    }

    /// @notice Whether the account is on the list
    function senderAuthorized(address account) external view returns (bool) {
        return _listed[account];
    }

    /// @inheritdoc IPolicy
    function run(address caller, address, bytes4, bytes[] calldata, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        if (!_listed[caller]) revert IPolicyEngine.PolicyRejected("sender is not authorized");
        return IPolicyEngine.PolicyResult.Continue;
    }
}
