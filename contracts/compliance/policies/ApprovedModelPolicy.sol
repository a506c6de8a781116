// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IModelRegistry} from "../../interfaces/IModelRegistry.sol";
import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {OrderContext} from "../../libraries/OrderContext.sol";
import {Policy} from "./Policy.sol";

/// @title Refuses orders of models that governance has not put into production
/// @notice One parameter: the model hash. Zero stands for a person's own decision and passes. An order whose context says
/// paper passes with any model, and can only be checked: submitted it is refused.
/// @dev Nothing to configure: the registry decides. To stop a model: ModelRegistry.revoke.
contract ApprovedModelPolicy is Policy {
    IModelRegistry public immutable modelRegistry;

    /// @notice A paper order is submitted
    error PaperOrder();

    constructor(address engine, address initialOwner, IModelRegistry registry) Policy(engine, initialOwner) {
        modelRegistry = registry;
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "ApprovedModelPolicy 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc IPolicy
    function postRun(address, address, bytes4, bytes[] calldata, bytes calldata context)
        external
        view
        override
        onlyPolicyEngine
    {
        if (_isPaper(context)) revert PaperOrder();
    }

    /// @inheritdoc IPolicy
    function run(address, address, bytes4, bytes[] calldata parameters, bytes calldata context)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        bytes32 modelHash = abi.decode(_only(parameters), (bytes32));
        if (modelHash != bytes32(0) && !_isPaper(context) && !modelRegistry.isApproved(modelHash)) {
            revert IPolicyEngine.PolicyRejected("model is not in production");
        }
        return IPolicyEngine.PolicyResult.Continue;
    }

    function _isPaper(bytes calldata context) private pure returns (bool isPaper) {
        // slither-disable-next-line unused-return
        (,, isPaper) = OrderContext.read(context);
    }
}
