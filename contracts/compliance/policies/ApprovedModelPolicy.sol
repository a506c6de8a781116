// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IModelRegistry} from "../../interfaces/IModelRegistry.sol";
import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {Policy} from "./Policy.sol";

/// @title Refuses orders of models that governance has not put into production
/// @notice One parameter: the model hash. Zero stands for a person's own decision and passes.
/// @dev Nothing to configure: the registry decides. To stop a model: ModelRegistry.revoke.
contract ApprovedModelPolicy is Policy {
    IModelRegistry public immutable modelRegistry;

    constructor(address engine, address initialOwner, IModelRegistry registry) Policy(engine, initialOwner) {
        modelRegistry = registry;
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "ApprovedModelPolicy 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc IPolicy
    function run(address, address, bytes4, bytes[] calldata parameters, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        bytes32 modelHash = abi.decode(_only(parameters), (bytes32));
        if (modelHash != bytes32(0) && !modelRegistry.isApproved(modelHash)) {
            revert IPolicyEngine.PolicyRejected("model is not in production");
        }
        return IPolicyEngine.PolicyResult.Continue;
    }
}
