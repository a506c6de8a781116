// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPolicy} from "../../interfaces/IPolicy.sol";
import {IPolicyEngine} from "../../interfaces/IPolicyEngine.sol";
import {ITrustedIssuerRegistry} from "../../interfaces/ITrustedIssuerRegistry.sol";
import {Policy} from "./Policy.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";

/// @title Refuses callers whom the registry of trusted issuers does not name
/// @notice Any parameters: it judges the caller, by its DID: did:pkh:eip155:<chain id>:<address with its checksum>. Made to
/// stand before the functions that write identities and credentials.
/// @dev Nothing to configure: the registry decides. To stop an issuer: ITrustedIssuerRegistry.removeTrustedIssuer.
contract TrustedIssuerPolicy is Policy {
    ITrustedIssuerRegistry public immutable issuers;

    constructor(address engine, address initialOwner, ITrustedIssuerRegistry registry) Policy(engine, initialOwner) {
        issuers = registry;
        // An address that cannot answer would stop every issuer.
        // slither-disable-next-line unused-return
        registry.isTrustedIssuer("");
    }

    /// @inheritdoc IPolicy
    function typeAndVersion() external pure returns (string memory) {
        return "TrustedIssuerPolicy 1.0.0 (ReFi.Trading)";
    }

    /// @inheritdoc IPolicy
    function run(address caller, address, bytes4, bytes[] calldata, bytes calldata)
        external
        view
        returns (IPolicyEngine.PolicyResult)
    {
        if (!issuers.isTrustedIssuer(issuerIdOf(caller))) {
            revert IPolicyEngine.PolicyRejected("issuer is not trusted");
        }
        return IPolicyEngine.PolicyResult.Continue;
    }

    /// @notice The name by which the registry knows an account of this chain
    function issuerIdOf(address account) public view returns (string memory) {
        string memory chain = Strings.toString(block.chainid);
        return string.concat("did:pkh:eip155:", chain, ":", Strings.toChecksumHexString(account));
    }
}
