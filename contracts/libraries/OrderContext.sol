// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title What an order's context says beside its arguments
/// @notice abi.encode(TAG, cumulative, isPaper): what the account has traded in all before this order, in USD x 1e6,
/// and whether the order is for a venue without money. Any other bytes are somebody else's context and say neither.
/// @dev A context can only make a rule stricter, or (paper) keep the order from being submitted: its sender is not
/// trusted.
library OrderContext {
    bytes32 internal constant TAG = keccak256("refi.trading/order-context/1");
    uint256 internal constant LENGTH = 96;

    /// @return isOrder Whether the bytes are an order's context
    /// @return cumulative USD x 1e6
    /// @return isPaper Whether the order can be checked only
    function read(bytes calldata context) internal pure returns (bool isOrder, uint256 cumulative, bool isPaper) {
        if (context.length != LENGTH || bytes32(context[:32]) != TAG) return (false, 0, false);
        // slither-disable-next-line unused-return
        (, cumulative, isPaper) = abi.decode(context, (bytes32, uint256, bool));
        return (true, cumulative, isPaper);
    }
}
