// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Policy} from "../../contracts/compliance/policies/Policy.sol";
import {ICredentialDataValidator} from "../../contracts/interfaces/ICredentialDataValidator.sol";
import {IMapper} from "../../contracts/interfaces/IMapper.sol";
import {IPolicy} from "../../contracts/interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../contracts/interfaces/IPolicyEngine.sol";

/// @notice Gives a policy the order's notional, or fails
contract NotionalMapper is IMapper {
    bool public fails;

    error NoMap(uint256 given);

    function setFails(bool value) external {
        fails = value;
    }

    function typeAndVersion() external pure returns (string memory) {
        return "NotionalMapper";
    }

    function map(IPolicyEngine.Parameter[] calldata extracted) external view returns (bytes[] memory values) {
        if (fails) revert NoMap(extracted.length);
        values = new bytes[](1);
        values[0] = extracted[2].value;
    }
}

/// @notice Takes credentials whose data is as long as a hash
contract HashDataValidator is ICredentialDataValidator {
    function validateCredentialData(bytes32, address, bytes32, bytes calldata data, bytes calldata)
        external
        pure
        returns (bool)
    {
        return data.length == 32;
    }
}

/// @notice Answers whatever it is told to
contract StubbornPolicy is Policy {
    enum Answer {
        None,
        Allowed,
        Continue,
        Fault,
        Empty,
        Garbled,
        LateFault
    }

    Answer public answer = Answer.Continue;

    error Broken(uint256 number);

    constructor(address engine, address owner) Policy(engine, owner) {}

    function setAnswer(Answer value) external {
        answer = value;
    }

    function postRun(address, address, bytes4, bytes[] calldata, bytes calldata) external view override {
        if (answer == Answer.LateFault) revert Broken(8);
    }

    function typeAndVersion() external pure returns (string memory) {
        return "StubbornPolicy";
    }

    function run(address, address, bytes4, bytes[] calldata, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        if (answer == Answer.Fault) revert Broken(7);
        if (answer == Answer.Empty) {
            assembly {
                revert(0, 0)
            }
        }
        if (answer == Answer.Garbled) {
            assembly {
                mstore(0, shl(224, 0x01020304))
                revert(0, 3)
            }
        }
        return answer < Answer.Fault ? IPolicyEngine.PolicyResult(uint8(answer)) : IPolicyEngine.PolicyResult.Continue;
    }
}

/// @notice Newest attested epochs, at will, in place of the attestor
contract NewestEpochs {
    mapping(address subject => mapping(bytes32 policyId => uint256 next)) public nextEpochOf;

    function set(address subject, bytes32 policyId, uint256 next) external {
        nextEpochOf[subject][policyId] = next;
    }
}

/// @notice No policy at all
contract NoPolicy {
    error NotOne();

    fallback() external {
        revert NotOne();
    }
}
