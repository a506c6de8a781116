// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "../../node_modules/circomlib/circuits/bitify.circom";
include "../lib/absorb.circom";
include "../lib/days.circom";
include "../lib/pack.circom";
include "../lib/position.circom";

// A BASELINE, NEVER DEPLOYED: what `refi zk report --baseline` measures lib/var.circom against.
// Statement: lib/var.circom's Var, with the returns INSIDE: at most K-1 of the W losses -p[w] exceed `limit`, where
// p[w] = sum_n q_n price_n R[w][n] of the prices and returns under `market`. Nothing is left to the verifier.
// The cheapest straightforward form that we know: ten returns share a hashed element, so that the range checks which
// make their unpacking unique (24 a return) replace most of the hashing (38 a return when each is an element of its
// own, 4 when ten share one); prices are hashed as they are, N at most; no transcript, no fold, no digest of the
// public values.
// Parameters: N instruments; W days; K = ceil(W(1-c)); QB magnitude bits of a quantity; RB bits of a return; LB bits of
// the limit; PB = LB + 1 bits of a checked day.
// Public: commitment, market (outputs), attestation, limit, universeHi, universeLo (inputs). Private: salt, q[N],
// price[N] (field: a price's range is its publisher's duty), R[W][N] (signed, scale 1e-6), flag[W].
// Constraints: W N (RB + 1) + 612 ceil((ceil(W N / 10) + N) / 16) + N + the commitment's + W (PB + 1) + LB + 1.
template VarInside(N, W, K, QB, RB, LB, PB) {
    signal input attestation;
    signal input limit;
    signal input universeHi;
    signal input universeLo;
    signal input salt;
    signal input q[N];
    signal input price[N];
    signal input R[W][N];
    signal input flag[W];
    signal output commitment;
    signal output market;

    // Families 1 and 2: quantities in range and committed.
    component position = PositionCommitment(N, QB);
    position.salt <== salt;
    position.universeHi <== universeHi;
    position.universeLo <== universeLo;
    for (var n = 0; n < N; n++) {
        position.q[n] <== q[n];
    }
    commitment <== position.commitment;

    // Family 3: the limit has LB bits.
    component limitInRange = Num2Bits(LB);
    limitInRange.in <== limit;

    // Returns in range and, with the prices, under `market`. Sound: with RB bits each, no two matrices share elements.
    component returnInRange[W * N];
    component packed = Pack(W * N, RB, 10);
    for (var w = 0; w < W; w++) {
        for (var n = 0; n < N; n++) {
            returnInRange[w * N + n] = Num2Bits(RB);
            returnInRange[w * N + n].in <== R[w][n] + (1 << (RB - 1));
            packed.in[w * N + n] <== R[w][n] + (1 << (RB - 1));
        }
    }
    var SIZE = (W * N + 9) \ 10;
    component hashed = Absorb(SIZE + N);
    hashed.capacity <== 0x726566692f6d61726b65742f7631; // ASCII of "refi/market/v1", big endian
    for (var i = 0; i < SIZE; i++) {
        hashed.in[i] <== packed.out[i];
    }
    for (var n = 0; n < N; n++) {
        hashed.in[SIZE + n] <== price[n];
    }
    market <== hashed.out;

    // p = R (q * price): one product a return.
    signal exposure[N];
    for (var n = 0; n < N; n++) {
        exposure[n] <== q[n] * price[n];
    }
    signal gain[W][N];
    component losses = AtMostExceed(W, K, PB);
    losses.limit <== limit;
    for (var w = 0; w < W; w++) {
        var p = 0;
        for (var n = 0; n < N; n++) {
            gain[w][n] <== exposure[n] * R[w][n];
            p += gain[w][n];
        }
        losses.p[w] <== p;
        losses.flag[w] <== flag[w];
    }

    // A proof is for one attestation only.
    signal bound <== attestation * attestation;
}
