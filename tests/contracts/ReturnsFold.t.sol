// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ReturnsFold} from "../../contracts/risk/ReturnsFold.sol";
import {Base} from "./Base.t.sol";
import {FoldHarness} from "./Harnesses.sol";

contract ReturnsFoldTest is Base {
    uint256 private constant FIELD = ReturnsFold.SCALAR_FIELD;

    FoldHarness private _harness;

    function setUp() public {
        _harness = new FoldHarness();
    }

    function test_extreme_returns_prices_and_challenges_fold_as_the_definition_says() public view {
        uint16[2][7] memory sizes = [
            [uint16(4), 90],
            [uint16(16), 90],
            [uint16(64), 90],
            [uint16(4), 250],
            [uint16(16), 250],
            [uint16(64), 250],
            [uint16(12), 7]
        ];
        for (uint256 i = 0; i < sizes.length; ++i) {
            uint256[] memory prices = _prices(sizes[i][0], type(uint32).max);
            for (uint256 pattern = 0; pattern < 4; ++pattern) {
                bytes memory returns_ = _pattern(uint256(sizes[i][0]) * sizes[i][1], pattern);
                _compare(prices, returns_, FIELD - 1 - pattern % 3, FIELD - 1 - pattern % 2);
            }
        }
    }

    function test_a_challenge_of_zero_or_one_is_no_special_case() public view {
        uint256[] memory prices = _prices(8, 123_456);
        for (uint256 pattern = 0; pattern < 4; ++pattern) {
            bytes memory returns_ = _pattern(8 * 5, pattern);
            for (uint256 r = 0; r < 2; ++r) {
                for (uint256 z = 0; z < 2; ++z) {
                    _compare(prices, returns_, r, z);
                }
            }
        }
    }

    function testFuzz_any_matrix_folds_as_the_definition_says(
        bytes32 seed,
        uint8 fours,
        uint8 window,
        uint256 r,
        uint256 z
    ) public view {
        uint256 count = 4 * (1 + fours % 5);
        uint256 days_ = 1 + window % 30;
        uint256[] memory prices = new uint256[](count);
        for (uint256 n = 0; n < count; ++n) {
            prices[n] = uint32(uint256(keccak256(abi.encode(seed, n))));
        }
        _compare(prices, _noise(3 * count * days_, seed), r % FIELD, z % FIELD);
    }

    function test_an_element_costs_little() public view {
        uint256[3][3] memory bounds = [[uint256(4), 57, 52], [uint256(16), 43, 40], [uint256(64), 42, 39]];
        for (uint256 i = 0; i < bounds.length; ++i) {
            requireTrue(_gasOf(bounds[i][0], 90) <= bounds[i][1] * bounds[i][0] * 90, "little over 90 days");
            requireTrue(_gasOf(bounds[i][0], 250) <= bounds[i][2] * bounds[i][0] * 250, "little over 250 days");
        }
    }

    function _gasOf(uint256 instruments, uint256 window) private view returns (uint256) {
        bytes memory returns_ = _noise(3 * instruments * window, bytes32(window));
        return _harness.gasOf(_prices(instruments, 1_234_567), returns_, FIELD - 5, FIELD - 7);
    }

    function _compare(uint256[] memory prices, bytes memory returns_, uint256 r, uint256 z) private view {
        requireEqual(_harness.naive(prices, returns_, r, z), _harness.fold(prices, returns_, r, z));
    }

    function _prices(uint256 count, uint256 price) private pure returns (uint256[] memory prices) {
        prices = new uint256[](count);
        for (uint256 n = 0; n < count; ++n) {
            prices[n] = price;
        }
    }

    /// @dev All lowest, all highest, both by turns, all minus one.
    function _pattern(uint256 elements, uint256 pattern) private pure returns (bytes memory returns_) {
        bytes3[2] memory pair = [bytes3(0x800000), bytes3(0x7fffff)];
        if (pattern == 0) pair[1] = pair[0];
        if (pattern == 1) pair[0] = pair[1];
        if (pattern == 3) pair = [bytes3(0xffffff), bytes3(0xffffff)];
        returns_ = new bytes(3 * elements);
        for (uint256 i = 0; i < elements; ++i) {
            for (uint256 j = 0; j < 3; ++j) {
                returns_[3 * i + j] = pair[i % 2][j];
            }
        }
    }

    function _noise(uint256 length, bytes32 seed) private pure returns (bytes memory noise) {
        noise = new bytes(length);
        for (uint256 i = 0; i < length; i += 32) {
            bytes32 word = keccak256(abi.encode(seed, "noise", i));
            for (uint256 j = i; j < i + 32 && j < length; ++j) {
                noise[j] = word[j - i];
            }
        }
    }
}
