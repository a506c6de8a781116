// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicyEngine} from "../interfaces/IPolicyEngine.sol";
import {IPolicyProtected} from "../interfaces/IPolicyProtected.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ERC165, IERC165} from "@openzeppelin/contracts/utils/introspection/ERC165.sol";

/// @title Implements IPolicyProtected, which says what it does, who may do it and how to stop it
/// @dev Protected functions are also `nonReentrant`: a policy must not call back into what it judges.
abstract contract PolicyProtected is IPolicyProtected, Ownable, ERC165, ReentrancyGuardTransient {
    IPolicyEngine private _engine;
    mapping(address sender => bytes context) private _contexts;

    /// @dev Lets the call go on only where the engine allows it, with the context that the caller has set before.
    modifier runPolicy() {
        bytes memory context = _contexts[msg.sender];
        if (context.length > 0) delete _contexts[msg.sender];
        _run(context);
        _;
    }

    /// @dev Lets the call go on only where the engine allows it, with a context among the call's arguments.
    modifier runPolicyWithContext(bytes calldata context) {
        _run(context);
        _;
    }

    constructor(address initialOwner, address policyEngine) Ownable(initialOwner) {
        _attach(policyEngine);
    }

    /// @inheritdoc IPolicyProtected
    function attachPolicyEngine(address policyEngine) external onlyOwner {
        IPolicyEngine before = _engine;
        _attach(policyEngine);
        try before.detach() {}
        catch (bytes memory reason) {
            emit PolicyEngineDetachFailed(address(before), reason);
        }
    }

    /// @inheritdoc IPolicyProtected
    function setContext(bytes calldata context) external {
        _contexts[msg.sender] = context;
    }

    /// @inheritdoc IPolicyProtected
    function clearContext() external {
        delete _contexts[msg.sender];
    }

    /// @inheritdoc IPolicyProtected
    function getPolicyEngine() external view returns (address) {
        return address(_engine);
    }

    /// @inheritdoc IPolicyProtected
    function getContext() external view returns (bytes memory) {
        return _contexts[msg.sender];
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) public view virtual override(ERC165, IERC165) returns (bool) {
        return interfaceId == type(IPolicyProtected).interfaceId || super.supportsInterface(interfaceId);
    }

    function _attach(address policyEngine) private {
        if (policyEngine == address(0)) revert IPolicyEngine.PolicyEngineUndefined();
        _engine = IPolicyEngine(policyEngine);
        emit PolicyEngineAttached(policyEngine);
        _engine.attach();
    }

    function _run(bytes memory context) private {
        _engine.run(
            IPolicyEngine.Payload({selector: msg.sig, sender: msg.sender, data: msg.data[4:], context: context})
        );
    }
}
