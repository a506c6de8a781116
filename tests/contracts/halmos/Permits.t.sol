// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CertifiedActionPolicy} from "../../../contracts/compliance/policies/CertifiedActionPolicy.sol";
import {ICertifiedActionValidator} from "../../../contracts/interfaces/ICertifiedActionValidator.sol";
import {Base} from "../Base.t.sol";

/// @notice For every permit of one use and every signature: what `make prove` shows. Recovery is any function, and hashes
/// collide nowhere.
contract PermitsProof is Base {
    CertifiedActionPolicy private policy;

    function setUp() public {
        policy = new CertifiedActionPolicy(address(this), address(this), one(issuer));
    }

    /// @notice A call let through by a presented permit of one use is refused the second time, and so is presenting it again.
    function check_a_presented_permit_is_used_once(
        bytes32 permitId,
        address caller,
        address subject,
        bytes4 selector,
        uint256 value,
        uint48 expiry,
        bytes32 r,
        bytes32 s,
        uint8 v
    ) public {
        ICertifiedActionValidator.Permit memory permit = permitOf(permitId, caller, subject, selector, value, expiry);
        bytes memory signature = abi.encodePacked(r, s, v);
        try policy.present(permit, signature) {
            try policy.run(caller, subject, selector, permit.parameters, "") {
                policy.postRun(caller, subject, selector, permit.parameters, "");
                requireRefused(permit, "");
                requireRefused(permit, abi.encode(ICertifiedActionValidator.SignedPermit(permit, signature)));
                try policy.present(permit, signature) {
                    assert(false);
                } catch {}
            } catch {}
        } catch {}
    }

    function requireRefused(ICertifiedActionValidator.Permit memory permit, bytes memory context) private view {
        try policy.run(permit.caller, permit.subject, permit.selector, permit.parameters, context) {
            assert(false);
        } catch {}
    }

    function permitOf(bytes32 permitId, address caller, address subject, bytes4 selector, uint256 value, uint48 expiry)
        private
        pure
        returns (ICertifiedActionValidator.Permit memory permit)
    {
        permit.permitId = permitId;
        permit.caller = caller;
        permit.subject = subject;
        permit.selector = selector;
        permit.parameters = new bytes[](1);
        permit.parameters[0] = abi.encode(value);
        permit.maxUses = 1;
        permit.expiry = expiry;
    }
}
