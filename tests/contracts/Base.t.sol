// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice The cheat codes of forge that these tests use
interface Vm {
    function assume(bool condition) external pure;
    function etch(address target, bytes calldata code) external;
    function expectEmit() external;
    function expectPartialRevert(bytes4 selector) external;
    function expectRevert(bytes calldata revertData) external;
    function parseJsonBytes(string calldata json, string calldata key) external pure returns (bytes memory);
    function prank(address sender) external;
    function readFile(string calldata path) external view returns (string memory);
    function startPrank(address sender) external;
    function stopPrank() external;
    function warp(uint256 timestamp) external;
}

/// @notice What every test contract shares: cheat codes, named roles, comparisons
abstract contract Base {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    address internal immutable owner = roleOf("owner");
    address internal immutable guardian = roleOf("guardian");
    address internal immutable relay = roleOf("relay");
    address internal immutable issuer = roleOf("issuer");
    address internal immutable trader = roleOf("trader");
    address internal immutable stranger = roleOf("stranger");

    error Differs(bytes32 expected, bytes32 actual);
    error NotTrue(string claim);

    function roleOf(string memory name) internal pure returns (address) {
        return address(uint160(uint256(keccak256(bytes(name)))));
    }

    function requireTrue(bool condition, string memory claim) internal pure {
        if (!condition) revert NotTrue(claim);
    }

    function requireEqual(bytes32 expected, bytes32 actual) internal pure {
        if (expected != actual) revert Differs(expected, actual);
    }

    function requireEqual(uint256 expected, uint256 actual) internal pure {
        requireEqual(bytes32(expected), bytes32(actual));
    }

    function requireEqual(address expected, address actual) internal pure {
        requireEqual(uint256(uint160(expected)), uint256(uint160(actual)));
    }

    function one(address account) internal pure returns (address[] memory accounts) {
        accounts = new address[](1);
        accounts[0] = account;
    }

    function one(bytes32 word) internal pure returns (bytes32[] memory list) {
        list = new bytes32[](1);
        list[0] = word;
    }
}
