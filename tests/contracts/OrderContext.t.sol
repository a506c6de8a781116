// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {OrderContext} from "../../contracts/libraries/OrderContext.sol";
import {Base} from "./Base.t.sol";

contract OrderContextTest is Base {
    function testFuzz_what_was_written_is_read(uint256 cumulative, bool isPaper) public view {
        (bool isOrder, uint256 said, bool paper) = this.read(abi.encode(OrderContext.TAG, cumulative, isPaper));
        requireTrue(isOrder && paper == isPaper, "an order's context");
        requireEqual(cumulative, said);
    }

    function testFuzz_other_bytes_say_nothing(bytes memory context, uint256 word) public view {
        requireNothing(context);
        requireNothing(abi.encode(OrderContext.TAG, word));
        requireNothing(abi.encode(OrderContext.TAG, word, true, word));
        requireNothing(abi.encode(~OrderContext.TAG, word, true));
    }

    function testFuzz_a_flag_that_is_none_is_an_error(uint256 flag) public view {
        vm.assume(flag > 1);
        try this.read(abi.encode(OrderContext.TAG, uint256(1), flag)) {
            revert NotTrue("refused");
        } catch {}
    }

    function test_the_tag_is_the_hash_of_its_name() public pure {
        requireEqual(0x0, OrderContext.TAG ^ keccak256("refi.trading/order-context/1"));
    }

    function read(bytes calldata context) external pure returns (bool, uint256, bool) {
        return OrderContext.read(context);
    }

    function requireNothing(bytes memory context) private view {
        (bool isOrder, uint256 cumulative, bool isPaper) = this.read(context);
        requireTrue(!isOrder && !isPaper && cumulative == 0, "nothing");
    }
}
