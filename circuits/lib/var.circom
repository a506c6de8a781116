// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "../../node_modules/circomlib/circuits/bitify.circom";
include "./claim.circom";
include "./days.circom";

// Statement: the prover knows positions under the claim's commitment of whose W daily losses at most K-1 exceed `limit`
// (given the verifier's check: lib/claim.circom).
// Parameters: N instruments; W days; K = ceil(W(1-c)); QB magnitude bits of a quantity; LB bits of the limit; PB = LB + 1
//   bits of a checked day: on a day that is not flagged limit + p < 2^PB, or there is no proof.
// Public: z, y (outputs), x (input). Private: the rest, flag[W] being 0 or 1.
// Constraints: table in circuits/README.md.
template Var(N, W, K, QB, LB, PB) {
    signal input x;
    signal input attestation;
    signal input limit;
    signal input salt;
    signal input universeHi;
    signal input universeLo;
    signal input q[N];
    signal input p[W];
    signal input c[N];
    signal input flag[W];
    signal output z;
    signal output y;

    // Family 3: the limit has LB bits. Sound: excludes a "negative" limit and keeps limit + p from wrapping.
    component limitInRange = Num2Bits(LB);
    limitInRange.in <== limit;

    component losses = AtMostExceed(W, K, PB);
    losses.limit <== limit;
    for (var w = 0; w < W; w++) {
        losses.p[w] <== p[w];
        losses.flag[w] <== flag[w];
    }
    component claim = Claim(N, W, QB, PB);
    claim.x <== x;
    claim.attestation <== attestation;
    claim.limit <== limit;
    claim.esLimit <== 0;
    claim.bounds <== limit;
    claim.salt <== salt;
    claim.universeHi <== universeHi;
    claim.universeLo <== universeLo;
    for (var n = 0; n < N; n++) {
        claim.q[n] <== q[n];
        claim.c[n] <== c[n];
    }
    for (var w = 0; w < W; w++) {
        claim.p[w] <== p[w];
        claim.days[w] <== losses.days[w];
    }
    z <== claim.z;
    y <== claim.y;
}

// Statement: as Var, and A v + B sum_w t_w <= A esLimit for a v and t_w >= 0, t_w >= loss_w - v, with tail mass
// W(1-c) = A/B: so the expected shortfall (Rockafellar and Uryasev) is at most esLimit.
// Parameters: as Var, and A, B in lowest terms, A <= 255. Private besides: esLimit, v (the K-th largest loss, signed).
// Constraints: table in circuits/README.md.
template VarEs(N, W, K, A, B, QB, LB, PB) {
    signal input x;
    signal input attestation;
    signal input limit;
    signal input esLimit;
    signal input v;
    signal input salt;
    signal input universeHi;
    signal input universeLo;
    signal input q[N];
    signal input p[W];
    signal input c[N];
    signal input flag[W];
    signal output z;
    signal output y;

    // Family 3: the limits have LB bits, |v| has LB. Sound: excludes "negative" limits, and three fit one element.
    component limitInRange = Num2Bits(LB);
    limitInRange.in <== limit;
    component esLimitInRange = Num2Bits(LB);
    esLimitInRange.in <== esLimit;
    component vInRange = Num2Bits(LB + 1);
    vInRange.in <== v + (1 << LB);

    component losses = Tail(W, K, PB);
    losses.v <== v;
    for (var w = 0; w < W; w++) {
        losses.p[w] <== p[w];
        losses.flag[w] <== flag[w];
    }
    // Family 9: at most K-1 losses exceed v, so with v <= limit at most K-1 exceed the limit.
    component vWithinLimit = Num2Bits(LB + 1);
    vWithinLimit.in <== limit - v;
    // Family 10: A v + B sum_w t_w <= A esLimit. Sound: every term is below 2^(PB+17), far below the field.
    component esWithinLimit = Num2Bits(PB + 10);
    esWithinLimit.in <== A * (esLimit - v) - B * losses.excess;

    component bounds = Pack(3, LB + 2, 3);
    bounds.in[0] <== limit;
    bounds.in[1] <== esLimit;
    bounds.in[2] <== v + (1 << LB);

    component claim = Claim(N, W, QB, PB);
    claim.x <== x;
    claim.attestation <== attestation;
    claim.limit <== limit;
    claim.esLimit <== esLimit;
    claim.bounds <== bounds.out[0];
    claim.salt <== salt;
    claim.universeHi <== universeHi;
    claim.universeLo <== universeLo;
    for (var n = 0; n < N; n++) {
        claim.q[n] <== q[n];
        claim.c[n] <== c[n];
    }
    for (var w = 0; w < W; w++) {
        claim.p[w] <== p[w];
        claim.days[w] <== losses.days[w];
    }
    z <== claim.z;
    y <== claim.y;
}
