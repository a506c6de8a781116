// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "../../node_modules/circomlib/circuits/poseidon.circom";

// Statement: out is the capacity element after absorbing in[0..M-1], 16 at a time, zero-padded, starting from `capacity`.
// Parameters: M > 0, the number of elements; fixed per use, so that padding cannot collide.
// Inputs: capacity (field), in[M] (field). Output: out (field).
// Constraints: 612 a chunk of 16 (Poseidon, t = 17).
// Sound because the chain is a sponge in overwrite mode with a capacity of one element.
template Absorb(M) {
    signal input capacity;
    signal input in[M];
    signal output out;

    var CHUNKS = (M + 15) \ 16;
    component hash[CHUNKS];
    for (var chunk = 0; chunk < CHUNKS; chunk++) {
        hash[chunk] = PoseidonEx(16, 1);
        if (chunk == 0) {
            hash[chunk].initialState <== capacity;
        } else {
            hash[chunk].initialState <== hash[chunk - 1].out[0];
        }
        for (var place = 0; place < 16; place++) {
            if (16 * chunk + place < M) {
                hash[chunk].inputs[place] <== in[16 * chunk + place];
            } else {
                hash[chunk].inputs[place] <== 0;
            }
        }
    }
    out <== hash[CHUNKS - 1].out[0];
}
