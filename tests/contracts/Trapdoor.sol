// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice A verifying key whose secrets are known, so that any public inputs have a proof: contracts are tested without a
/// prover
library Trapdoor {
    bytes private constant G2 = hex"198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2"
        hex"1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
        hex"090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b"
        hex"12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa";
    bytes private constant TWICE_G2 = hex"203e205db4f19b37b60121b83a7333706db86431c6d835849957ed8c3928ad79"
        hex"27dc7234fd11d3e8c36c59277c3e6f149d5cd3cfa9a62aee49f8130962b4b3b9"
        hex"195e8aa5b7827463722b8c153931579d3505566b4edf48d498e185f0509de152"
        hex"04bb53b8977e5f92a0bc372742c4830944a59b4fe6b1c0466e2a6dad122b5d2e";

    error NotOnCurve();

    /// @dev alpha = G1, beta = gamma = G2, delta = 2 G2, IC_i = (i + 3) G1.
    function key() internal view returns (bytes memory packed) {
        packed = abi.encodePacked(uint256(1), uint256(2), G2, G2, TWICE_G2);
        for (uint256 i = 0; i < 4; ++i) {
            packed = bytes.concat(packed, _times(_generator(), i + 3));
        }
    }

    /// @dev B = G2 and C = s G1, so A = alpha + sum_i input_i IC_i + 2 C; every s gives another proof.
    function prove(uint256[] memory inputs, uint256 s) internal view returns (uint256[8] memory proof) {
        bytes memory a = _plus(_generator(), _times(_generator(), 3));
        for (uint256 i = 0; i < inputs.length; ++i) {
            a = _plus(a, _times(_times(_generator(), i + 4), inputs[i]));
        }
        a = _plus(a, _times(_generator(), 2 * s));
        proof = abi.decode(bytes.concat(a, G2, _times(_generator(), s)), (uint256[8]));
    }

    function _generator() private pure returns (bytes memory) {
        return abi.encode(uint256(1), uint256(2));
    }

    function _plus(bytes memory a, bytes memory b) private view returns (bytes memory) {
        return _ask(address(6), bytes.concat(a, b));
    }

    function _times(bytes memory point, uint256 scalar) private view returns (bytes memory) {
        return _ask(address(7), bytes.concat(point, bytes32(scalar)));
    }

    function _ask(address precompile, bytes memory input) private view returns (bytes memory) {
        (bool ok, bytes memory point) = precompile.staticcall(input);
        if (!ok) revert NotOnCurve();
        return point;
    }
}
