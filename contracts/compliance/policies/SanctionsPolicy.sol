// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {ISanctions} from "../../interfaces/ISanctions.sol";
import {Policy} from "./Policy.sol";

/// @title Implements ISanctions, which says what it does, who may do it and how to stop it
/// @notice One parameter: the account.
contract SanctionsPolicy is ISanctions, Policy {
    address public lister;
    mapping(address account => bytes32 listHash) public listedOf;

    modifier onlyLister() {
        if (msg.sender != lister) revert NotLister(msg.sender);
        _;
    }

    constructor(address engine, address initialOwner, address initialLister) Policy(engine, initialOwner) {
        _setLister(initialLister);
    }

    /// @inheritdoc ISanctions
    function setLister(address account) external onlyOwner {
        _setLister(account);
    }

    /// @inheritdoc ISanctions
    function list(address account, bytes32 listHash) external onlyLister {
        if (listHash == bytes32(0)) revert ZeroListHash();
        listedOf[account] = listHash;
        emit Listed(account, listHash);
    }

    /// @inheritdoc ISanctions
    function unlist(address account) external onlyLister {
        bytes32 listHash = listedOf[account];
        if (listHash == bytes32(0)) revert NotListed(account);
        delete listedOf[account];
        emit Unlisted(account, listHash);
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "SanctionsPolicy 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc IPolicy
    function run(address, address, bytes4, bytes[] calldata parameters, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        if (listedOf[abi.decode(_only(parameters), (address))] != bytes32(0)) {
            revert IPolicyEngine.PolicyRejected("account is sanctioned");
        }
        return IPolicyEngine.PolicyResult.Continue;
    }

    function _setLister(address account) private {
        lister = account;
        emit ListerSet(account);
    }
}
