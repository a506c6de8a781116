// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "../../node_modules/circomlib/circuits/bitify.circom";
include "./absorb.circom";
include "./polynomial.circom";
include "./position.circom";

// Statement: the prover knows positions q under `commitment` and daily P&L p such that at most K-1 of the W losses -p[w]
// exceed `limit`, and, PROVIDED the verifier finds e = sum_n z^n price_n sum_w r^w R[w][n] for the published prices and
// returns R, p[w] = sum_n q_n price_n R[w][n]. Without that check by the verifier nothing is proved.
// Parameters: N instruments; W days; K = ceil(W(1-c)); QB magnitude bits of a quantity; LB bits of the limit;
//   PB magnitude bits of a day's P&L: QB + 32 (price) + 23 (return) + ceil(log2 N).
// Public: z, y (outputs), x (input): the ten values of the statement, hashed down (family 8).
// Private: context, returnsHi, returnsLo (128-bit limbs of the returns id), limit (scale 1e-16 USD, >= 0),
//   salt, universeHi, universeLo, q[N] (signed, scale 1e-6), p[W] (signed, scale 1e-16 USD), c[N] (field: price_n times
//   column n of R evaluated at r), exceeds[W] (0 or 1).
// Constraints: table in circuits/README.md.
template Var(N, W, K, QB, LB, PB) {
    signal input x;
    signal input context;
    signal input returnsHi;
    signal input returnsLo;
    signal input limit;
    signal input salt;
    signal input universeHi;
    signal input universeLo;
    signal input q[N];
    signal input p[W];
    signal input c[N];
    signal input exceeds[W];
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

    // Family 3: the limit has LB bits. Sound: excludes a "negative" limit and keeps limit + p from wrapping.
    component limitInRange = Num2Bits(LB);
    limitInRange.in <== limit;

    // Family 4: exactly K-1 days are flagged, flags being bits. Sound: the flags are one-sided (a flagged day may lose or
    // gain), so "exactly K-1" means "at most K-1 losses exceed the limit" and no sorting is needed.
    var flagged = 0;
    for (var w = 0; w < W; w++) {
        exceeds[w] * (exceeds[w] - 1) === 0;
        flagged += exceeds[w];
    }
    flagged === K - 1;

    // Family 5: on every other day limit + p >= 0. Sound: |p| < 2^PB by family 7 and the verifier's ranges, hence a
    // negative sum is a field element far above 2^BITS.
    var BITS = (LB > PB ? LB : PB) + 1;
    component covered[W];
    for (var w = 0; w < W; w++) {
        covered[w] = Num2Bits(BITS);
        covered[w].in <== (1 - exceeds[w]) * (limit + p[w]);
    }

    // Family 6: r is a hash of the statement's given part and of p; z continues the same transcript over c. Sound: q and p
    // are fixed before r is known, c before z (Fiat-Shamir). The capacity starts as the ASCII of "refi/var/v1".
    component challenge = Absorb(5 + W);
    challenge.capacity <== 0x726566692f7661722f7631;
    challenge.in[0] <== context;
    challenge.in[1] <== position.commitment;
    challenge.in[2] <== returnsHi;
    challenge.in[3] <== returnsLo;
    challenge.in[4] <== limit;
    for (var w = 0; w < W; w++) {
        challenge.in[5 + w] <== p[w];
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

    // Family 8: y = s(x) for s = (context, commitment, universeHi, universeLo, returnsHi, returnsLo, limit, r, z, e). The
    // verifier takes x = keccak256(s) mod field and y = s(x) of the s that it was given. Sound: z binds the circuit's own
    // s before x is known (universe through the commitment), so a different s passes with probability 9/|F|.
    component digest = Evaluate(10);
    digest.x <== x;
    digest.in[0] <== context;
    digest.in[1] <== position.commitment;
    digest.in[2] <== universeHi;
    digest.in[3] <== universeLo;
    digest.in[4] <== returnsHi;
    digest.in[5] <== returnsLo;
    digest.in[6] <== limit;
    digest.in[7] <== r;
    digest.in[8] <== z;
    digest.in[9] <== columns.out;
    y <== digest.out;
}
