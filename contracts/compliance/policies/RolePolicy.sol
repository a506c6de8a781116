// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {Policy} from "./Policy.sol";
import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";

/// @title Refuses callers without a role that may perform the function
/// @notice No parameters: the caller and the function's selector decide.
/// @dev The owner says which roles may do what; the holder of DEFAULT_ADMIN_ROLE (the owner at first) says who has
/// which role. To stop a function: take every role off it.
contract RolePolicy is AccessControl, Policy {
    using EnumerableSet for EnumerableSet.Bytes32Set;

    mapping(bytes4 operation => EnumerableSet.Bytes32Set roles) private _allowed;

    /// @notice Holders of the role may perform the function
    event OperationAllowanceGrantedToRole(bytes4 operation, bytes32 role);
    /// @notice Holders of the role may not perform the function any more
    event OperationAllowanceRemovedFromRole(bytes4 operation, bytes32 role);

    constructor(address engine, address initialOwner) Policy(engine, initialOwner) {
        _grantRole(DEFAULT_ADMIN_ROLE, initialOwner);
    }

    /// @notice Let holders of a role perform a function. Owner only.
    function grantOperationAllowanceToRole(bytes4 operation, bytes32 role) external onlyOwner {
        if (!_allowed[operation].add(role)) revert Unchanged();
        emit OperationAllowanceGrantedToRole(operation, role);
    }

    /// @notice Do not let them any more. Owner only.
    function removeOperationAllowanceFromRole(bytes4 operation, bytes32 role) external onlyOwner {
        if (!_allowed[operation].remove(role)) revert Unchanged();
        emit OperationAllowanceRemovedFromRole(operation, role);
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "RolePolicy 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc IPolicy
    function run(address caller, address, bytes4 selector, bytes[] calldata parameters, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        if (parameters.length != 0) revert InvalidParameters("expected 0 parameters");
        if (!hasAllowedRole(selector, caller)) {
            revert IPolicyEngine.PolicyRejected("caller lacks required role for operation");
        }
        return IPolicyEngine.PolicyResult.Continue;
    }

    /// @notice Whether the account has a role that may perform the function
    function hasAllowedRole(bytes4 operation, address account) public view returns (bool) {
        bytes32[] memory roles = _allowed[operation].values();
        for (uint256 i = 0; i < roles.length; i++) {
            if (hasRole(roles[i], account)) return true;
        }
        return false;
    }

    /// @inheritdoc Policy
    function supportsInterface(bytes4 interfaceId) public view override(AccessControl, Policy) returns (bool) {
        return super.supportsInterface(interfaceId);
    }
}
