// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExtractor} from "../interfaces/IExtractor.sol";
import {IOrderGate} from "../interfaces/IOrderGate.sol";
import {IPolicyEngine} from "../interfaces/IPolicyEngine.sol";

/// @title Reads the parameters of an order, or of settlements
contract OrderExtractor is IExtractor {
    bytes32 public constant ACCOUNT = keccak256("account");
    bytes32 public constant INSTRUMENT = keccak256("instrument");
    bytes32 public constant NOTIONAL = keccak256("notional");
    bytes32 public constant MODEL_HASH = keccak256("modelHash");
    bytes32 public constant SETTLEMENTS = keccak256("settlements");

    /// @inheritdoc IExtractor
    function typeAndVersion() external pure returns (string memory) {
        return "OrderExtractor 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc IExtractor
    function extract(IPolicyEngine.Payload calldata payload)
        external
        pure
        returns (IPolicyEngine.Parameter[] memory parameters)
    {
        if (payload.selector == IOrderGate.settleVolumes.selector) {
            parameters = new IPolicyEngine.Parameter[](1);
            // The call's only argument: its encoding is the call's data.
            parameters[0] = IPolicyEngine.Parameter(SETTLEMENTS, payload.data);
            return parameters;
        }
        if (payload.selector != IOrderGate.submitOrder.selector) {
            revert IPolicyEngine.UnsupportedSelector(payload.selector);
        }
        (address account, bytes32 instrument, uint256 notional, bytes32 modelHash) =
            abi.decode(payload.data, (address, bytes32, uint256, bytes32));
        parameters = new IPolicyEngine.Parameter[](4);
        parameters[0] = IPolicyEngine.Parameter(ACCOUNT, abi.encode(account));
        parameters[1] = IPolicyEngine.Parameter(INSTRUMENT, abi.encode(instrument));
        parameters[2] = IPolicyEngine.Parameter(NOTIONAL, abi.encode(notional));
        parameters[3] = IPolicyEngine.Parameter(MODEL_HASH, abi.encode(modelHash));
    }
}
