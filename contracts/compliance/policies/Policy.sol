// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicy} from "../../interfaces/IPolicy.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC165, IERC165} from "@openzeppelin/contracts/utils/introspection/ERC165.sol";

/// @title What every policy here shares: an engine that it serves and an owner that configures it
abstract contract Policy is Ownable, ERC165, IPolicy {
    address public immutable policyEngine;

    modifier onlyPolicyEngine() {
        if (msg.sender != policyEngine) revert Unauthorized();
        _;
    }

    constructor(address engine, address initialOwner) Ownable(initialOwner) {
        // slither-disable-next-line missing-zero-check
        policyEngine = engine;
    }

    /// @inheritdoc IPolicy
    function onInstall(bytes4 selector) external virtual onlyPolicyEngine {}

    /// @inheritdoc IPolicy
    function onUninstall(bytes4 selector) external virtual onlyPolicyEngine {}

    /// @inheritdoc IPolicy
    function postRun(address, address, bytes4, bytes[] calldata, bytes calldata) external virtual onlyPolicyEngine {}

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) public view virtual override(ERC165, IERC165) returns (bool) {
        return interfaceId == type(IPolicy).interfaceId || super.supportsInterface(interfaceId);
    }

    /// @dev The only parameter of a policy that judges one.
    function _only(bytes[] calldata parameters) internal pure returns (bytes calldata) {
        if (parameters.length != 1) revert InvalidParameters("expected 1 parameter");
        return parameters[0];
    }
}
