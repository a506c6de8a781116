// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MaxPolicy} from "../../contracts/compliance/policies/MaxPolicy.sol";
import {IPolicy} from "../../contracts/interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../contracts/interfaces/IPolicyEngine.sol";
import {NotionalMapper} from "./AceHelpers.sol";
import {GateWorld} from "./GateWorld.sol";

/// @notice Mappers are looked up only while there are any: how many there are must be right
contract PolicyMappersTest is GateWorld {
    uint256 private constant POLICIES = 3;

    MaxPolicy[POLICIES] private policies;
    address[2] private mappers;

    function setUp() public override {
        super.setUp();
        mappers = [address(new NotionalMapper()), address(new NotionalMapper())];
        for (uint256 i = 0; i < POLICIES; i++) {
            policies[i] = new MaxPolicy(address(engine), owner, 100);
            engine.setPolicyMapper(address(policies[i]), mappers[0]);
            engine.addPolicy(address(gate), SUBMIT, address(policies[i]), new bytes32[](0));
        }
    }

    function testFuzz_every_policy_has_its_mapper_however_often_mappers_are_set_and_taken_away(uint256 seed) public {
        for (uint256 step = 0; step < 12; step++) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 choice = seed % 3;
            address mapper = choice == 2 ? address(0) : mappers[choice];
            engine.setPolicyMapper(address(policies[(seed >> 8) % POLICIES]), mapper);
            requireAsMapped();
        }
    }

    /// @dev Without its mapper a policy is given nothing, which it does not take.
    function requireAsMapped() private view {
        bytes memory refusal = refusalOf(trader, 100, "");
        for (uint256 i = 0; i < POLICIES; i++) {
            if (engine.getPolicyMapper(address(policies[i])) != address(0)) continue;
            IPolicyEngine.Payload memory payload =
                IPolicyEngine.Payload(SUBMIT, relay, abi.encode(trader, TICKER, 100, bytes32(0)), "");
            bytes memory fault = abi.encodeWithSelector(IPolicy.InvalidParameters.selector, "expected 1 parameter");
            bytes memory expected =
                abi.encodeWithSelector(IPolicyEngine.PolicyRunError.selector, policies[i], fault, payload);
            requireEqual(keccak256(expected), keccak256(refusal));
            return;
        }
        requireEqual(0, refusal.length);
    }
}
