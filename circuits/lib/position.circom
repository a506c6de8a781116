// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "../../node_modules/circomlib/circuits/bitify.circom";
include "./absorb.circom";
include "./pack.circom";

// Statement: commitment opens to the quantities q under salt and universe, and every |q| <= 2^QB.
// Parameters: N instruments, QB magnitude bits of a quantity, at most 41 (six share an element).
// Inputs (all private to the caller's choice): salt (field), universeHi and universeLo (128-bit limbs of the universe id),
//   q[N] (signed, scale 1e-6). Output: commitment (field).
// Constraints: 612 ceil((3 + ceil(N / 6)) / 16) + N (QB + 1).
template PositionCommitment(N, QB) {
    signal input salt;
    signal input universeHi;
    signal input universeLo;
    signal input q[N];
    signal output commitment;

    // Family 1: q + 2^QB has QB + 1 bits. Sound: 2^(QB+1) is far below the field, so q is the small signed integer meant,
    // no product below can wrap, and no two vectors share the packed elements of family 2.
    component inRange[N];
    component packed = Pack(N, QB + 1, 6);
    for (var n = 0; n < N; n++) {
        inRange[n] = Num2Bits(QB + 1);
        inRange[n].in <== q[n] + (1 << QB);
        packed.in[n] <== q[n] + (1 << QB);
    }

    // Family 2: the commitment binds salt, universe and quantities. Sound: collision resistance of the chain.
    // The capacity starts as the ASCII of "refi/position/v1", big endian.
    var SIZE = (N + 5) \ 6;
    component chain = Absorb(3 + SIZE);
    chain.capacity <== 0x726566692f706f736974696f6e2f7631;
    chain.in[0] <== salt;
    chain.in[1] <== universeHi;
    chain.in[2] <== universeLo;
    for (var i = 0; i < SIZE; i++) {
        chain.in[3 + i] <== packed.out[i];
    }
    commitment <== chain.out;
}
