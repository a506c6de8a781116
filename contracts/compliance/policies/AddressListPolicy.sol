// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Policy} from "./Policy.sol";

/// @title What policies with a list of addresses share
/// @dev An entry that would change nothing is refused, so that every event on a list is a change.
abstract contract AddressListPolicy is Policy {
    mapping(address account => bool) internal _listed;

    /// @dev Puts an account on the list or takes it off.
    function _list(address account, bool isListed) internal {
        if (_listed[account] == isListed) revert Unchanged();
        _listed[account] = isListed;
    }

    /// @dev How many of the parameters, read as addresses, are on the list.
    function _countListed(bytes[] calldata parameters) internal view returns (uint256 count) {
        if (parameters.length == 0) revert InvalidParameters("expected at least 1 parameter");
        for (uint256 i = 0; i < parameters.length; i++) {
            if (_listed[abi.decode(parameters[i], (address))]) count++;
        }
    }
}
