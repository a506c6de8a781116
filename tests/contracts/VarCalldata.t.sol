// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IVarAttestor} from "../../contracts/interfaces/IVarAttestor.sol";
import {VarWorld} from "./VarAttestor.t.sol";

/// @notice Calldata that no compiler writes: what is hashed must be what is folded, or nothing is attested
contract VarCalldataTest is VarWorld {
    uint256 private constant HEAD = 18 * 32; // the claim's eight words, two offsets, the proof's eight
    uint256 private constant PRICES_AT = 8 * 32;
    uint256 private constant RETURNS_AT = 9 * 32;

    bytes private _head;

    function setUp() public override {
        super.setUp();
        IVarAttestor.Claim memory claim = claimAt(EPOCH);
        _head = abi.encode(claim, uint256(0), uint256(0), proofOf(statementOf(claim)));
    }

    function test_tails_in_any_order_with_anything_between_and_behind_them_attest_the_same() public {
        bytes memory dirty = bytes.concat(_returnsTail(), bytes16(type(uint128).max));
        _accepted(bytes.concat(_pricesTail(), _returnsTail()), HEAD, HEAD + _pricesTail().length);
        _accepted(bytes.concat(_returnsTail(), _pricesTail()), HEAD + _returnsTail().length, HEAD);
        _accepted(bytes.concat(hex"ff", dirty, hex"ffff", _pricesTail(), dirty), HEAD + 3 + dirty.length, HEAD + 1);
        _accepted(bytes.concat(_pricesTail(), dirty, _pricesTail()), HEAD, HEAD + _pricesTail().length);
    }

    function test_what_is_folded_is_what_is_hashed_wherever_an_offset_points() public {
        bytes memory tails = bytes.concat(_pricesTail(), _returnsTail());
        uint256 returnsAt = HEAD + _pricesTail().length;
        for (uint256 place = 0; place < HEAD + tails.length; place += 16) {
            if (place != returnsAt) _refused(tails, HEAD, place);
            if (place != HEAD) _refused(tails, place, returnsAt);
        }
    }

    function test_lengths_and_offsets_near_the_end_of_numbers_are_refused() public {
        uint256 returnsAt = HEAD + _pricesTail().length;
        uint256[8] memory sizes = [
            type(uint256).max,
            type(uint256).max - 31,
            type(uint256).max - HEAD,
            1 << 255,
            (1 << 251) + INSTRUMENTS, // times 32 it is the right number of bytes
            1 << 64,
            (1 << 64) - 1,
            (1 << 32) + INSTRUMENTS
        ];
        for (uint256 i = 0; i < sizes.length; ++i) {
            bytes memory longer = bytes.concat(bytes32(sizes[i]), abi.encodePacked(prices));
            _refused(bytes.concat(longer, _returnsTail()), HEAD, returnsAt);
            longer = bytes.concat(bytes32(sizes[i]), matrix);
            _refused(bytes.concat(_pricesTail(), longer), HEAD, returnsAt);
            _refused(bytes.concat(_pricesTail(), _returnsTail()), sizes[i], returnsAt);
            _refused(bytes.concat(_pricesTail(), _returnsTail()), HEAD, sizes[i]);
        }
    }

    function test_calldata_that_ends_within_the_returns_is_refused() public {
        bytes memory tails = bytes.concat(_pricesTail(), _returnsTail());
        for (uint256 less = 1; less <= 33; ++less) {
            bytes memory cut = new bytes(tails.length - less);
            for (uint256 i = 0; i < cut.length; ++i) {
                cut[i] = tails[i];
            }
            _refused(cut, HEAD, HEAD + _pricesTail().length);
        }
    }

    function test_bits_above_a_value_are_refused() public {
        bytes memory tails = bytes.concat(_pricesTail(), _returnsTail());
        uint8[3] memory words = [0, 1, 4]; // subject, epoch, anchor index
        for (uint256 i = 0; i < words.length; ++i) {
            _head[uint256(words[i]) * 32] = 0x80;
            _refused(tails, HEAD, HEAD + _pricesTail().length);
            _head[uint256(words[i]) * 32] = 0x00;
        }
        _accepted(tails, HEAD, HEAD + _pricesTail().length);
    }

    function _accepted(bytes memory tails, uint256 pricesAt, uint256 returnsAt) private {
        bytes32 expected = idOf(claimAt(EPOCH));
        try this.sendAndUndo(_calldata(tails, pricesAt, returnsAt)) {}
        catch (bytes memory outcome) {
            requireEqual(keccak256(abi.encode(true, abi.encode(expected))), keccak256(outcome));
        }
    }

    function _refused(bytes memory tails, uint256 pricesAt, uint256 returnsAt) private {
        vm.prank(attester);
        (bool done,) = address(attestor).call(_calldata(tails, pricesAt, returnsAt));
        requireTrue(!done, "refused");
    }

    function sendAndUndo(bytes calldata data) external {
        vm.prank(attester);
        (bool done, bytes memory answer) = address(attestor).call(data);
        bytes memory outcome = abi.encode(done, answer);
        assembly ("memory-safe") {
            revert(add(outcome, 32), mload(outcome))
        }
    }

    function _calldata(bytes memory tails, uint256 pricesAt, uint256 returnsAt)
        private
        view
        returns (bytes memory data)
    {
        data = bytes.concat(IVarAttestor.attest.selector, _head, tails);
        assembly ("memory-safe") {
            mstore(add(data, add(36, PRICES_AT)), pricesAt)
            mstore(add(data, add(36, RETURNS_AT)), returnsAt)
        }
    }

    function _pricesTail() private view returns (bytes memory) {
        return abi.encodePacked(prices.length, prices);
    }

    /// @dev Not padded: the last row ends with the calldata.
    function _returnsTail() private view returns (bytes memory) {
        return abi.encodePacked(matrix.length, matrix);
    }
}
