// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "./absorb.circom";
include "./pack.circom";
include "./polynomial.circom";
include "./position.circom";

// Statement: positions q under the claim's commitment have the daily P&L p, PROVIDED the verifier finds
// e = sum_n z^n price_n sum_w r^w R[w][n] for the published prices and returns R: then p[w] = sum_n q_n price_n R[w][n].
// Without that check by the verifier nothing is proved.
// Parameters: N instruments; W days; QB magnitude bits of a quantity; PB: each of days[] is below 2^(PB+1), PB <= 83.
// Inputs: x; attestation (the attestation's id in the field: it binds context, commitment and returns); limit, esLimit
//   (scale 1e-16 USD); bounds (an element that determines limit, esLimit and whatever else days[] counts from);
//   salt, universeHi, universeLo, q[N] (signed, scale 1e-6); p[W] (signed, scale 1e-16 USD); days[W] (with bounds it
//   determines p); c[N] (field: price_n times column n of R evaluated at r).
// Outputs: z, y: with x the nine values of the statement, hashed down (family 8).
// Constraints: table in circuits/README.md.
template Claim(N, W, QB, PB) {
    signal input x;
    signal input attestation;
    signal input limit;
    signal input esLimit;
    signal input bounds;
    signal input salt;
    signal input universeHi;
    signal input universeLo;
    signal input q[N];
    signal input p[W];
    signal input days[W];
    signal input c[N];
    signal output z;
    signal output y;

    // Families 1 and 2: quantities in range and committed.
    component position = PositionCommitment(N, QB);
    position.salt <== salt;
    position.universeHi <== universeHi;
    position.universeLo <== universeLo;
    for (var n = 0; n < N; n++) {
        position.q[n] <== q[n];
    }

    // Family 6: r is a hash of what the attestation is about, of q (through the commitment), of the bounds and of p
    // (through days, three an element); z continues the same transcript over c. Sound: q and p are fixed before r is known,
    // c before z (Fiat-Shamir). r is published and everything else in it is public or follows from a guess of q: the salt
    // keeps it from confirming one. commitment + salt binds as the commitment does.
    component packed = Pack(W, PB + 1, 3);
    for (var w = 0; w < W; w++) {
        packed.in[w] <== days[w];
    }
    var SIZE = (W + 2) \ 3;
    component challenge = Absorb(2 + SIZE);
    challenge.capacity <== attestation;
    challenge.in[0] <== position.commitment + salt;
    challenge.in[1] <== bounds;
    for (var i = 0; i < SIZE; i++) {
        challenge.in[2 + i] <== packed.out[i];
    }
    signal r <== challenge.out;
    component fold = Absorb(N);
    fold.capacity <== r;
    for (var n = 0; n < N; n++) {
        fold.in[n] <== c[n];
    }
    z <== fold.out;

    // Family 7: sum_w r^w p_w = sum_n q_n c_n. Sound: if c is right (the verifier's check of e), this is the polynomial
    // identity p(r) = (R q)(r), false with probability at least 1 - (W-1)/|F| unless p = R q (Schwartz-Zippel).
    component pnl = Evaluate(W);
    pnl.x <== r;
    for (var w = 0; w < W; w++) {
        pnl.in[w] <== p[w];
    }
    signal exposure[N];
    var total = 0;
    for (var n = 0; n < N; n++) {
        exposure[n] <== q[n] * c[n];
        total += exposure[n];
    }
    pnl.out === total;
    // e = sum_n z^n c_n: if e is right then c is, but with probability (N-1)/|F|.
    component columns = Evaluate(N);
    columns.x <== z;
    for (var n = 0; n < N; n++) {
        columns.in[n] <== c[n];
    }

    // Family 8: y = s(x) for s = (attestation, commitment, universeHi, universeLo, limit, esLimit, r, z, e). The verifier
    // takes x = keccak256(s) mod field and y = s(x) of the s that it was given. Sound: z binds the circuit's own s before x
    // is known (universe through the commitment), so a different s passes with probability 8/|F|.
    component digest = Evaluate(9);
    digest.x <== x;
    digest.in[0] <== attestation;
    digest.in[1] <== position.commitment;
    digest.in[2] <== universeHi;
    digest.in[3] <== universeLo;
    digest.in[4] <== limit;
    digest.in[5] <== esLimit;
    digest.in[6] <== r;
    digest.in[7] <== z;
    digest.in[8] <== columns.out;
    y <== digest.out;
}
