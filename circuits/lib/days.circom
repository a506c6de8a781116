// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "../../node_modules/circomlib/circuits/bitify.circom";

// Both templates flag exactly K-1 days and range-check one value a day. `days` is what a hash must take to bind p: with
// the bound (limit, or v) it determines every p, since each is below 2^(PB+1).

// Family 4: exactly K-1 of `flag` are one, the others zero.
// Constraints: W.
template ExactlyFlagged(W, K) {
    signal input flag[W];

    var flagged = 0;
    for (var w = 0; w < W; w++) {
        flag[w] * (flag[w] - 1) === 0;
        flagged += flag[w];
    }
    flagged === K - 1;
}

// Statement: at most K-1 of the W losses -p[w] exceed `limit`.
// Parameters: W days; K = ceil(W(1-c)); PB: a checked value is below 2^PB.
// Inputs: limit (0 <= limit < 2^(PB-1): the caller's duty), p[W] (signed, |p| far below the field: the caller's duty),
//   flag[W]. Output: days[W], each below 2^(PB+1).
// Constraints: W (PB + 1).
template AtMostExceed(W, K, PB) {
    signal input limit;
    signal input p[W];
    signal input flag[W];
    signal output days[W];

    component flags = ExactlyFlagged(W, K);
    // Family 5: limit + p >= 0 on every day that is not flagged; a flagged one may lose 2^(PB-1) more. Sound: |p| is small,
    // so that a negative sum is a field element far above 2^PB. A flag is one-sided (a flagged day may gain), so "exactly
    // K-1" means "at most K-1" and nothing is sorted.
    component covered[W];
    for (var w = 0; w < W; w++) {
        flags.flag[w] <== flag[w];
        covered[w] = Num2Bits(PB);
        covered[w].in <== limit + p[w] + flag[w] * (1 << (PB - 1));
        days[w] <== limit + p[w] + flag[w] * ((1 << (PB - 1)) + (1 << PB));
    }
}

// Statement: at most K-1 of the W losses -p[w] exceed v, exactly K-1 are at least v, and excess = sum of what those lose
// beyond v.
// Parameters: W, K, PB as above. Inputs: v (signed, |v| far below the field: the caller's duty), p[W], flag[W].
// Outputs: excess (field: 0 <= excess < K 2^PB), days[W], each below 2^(PB+1).
// Constraints: W (PB + 2).
template Tail(W, K, PB) {
    signal input v;
    signal input p[W];
    signal input flag[W];
    signal output excess;
    signal output days[W];

    component flags = ExactlyFlagged(W, K);
    // Family 5: v + p >= 0 on every day that is not flagged, -p - v >= 0 on every flagged one: one product and one range
    // check a day. v lies between the flagged losses and the others, so it is the K-th largest loss or above it, and
    // t_w = flag (-p_w - v) is exactly max(0, loss_w - v).
    component between[W];
    signal over[W];
    var total = 0;
    for (var w = 0; w < W; w++) {
        flags.flag[w] <== flag[w];
        over[w] <== flag[w] * (v + p[w]);
        between[w] = Num2Bits(PB);
        between[w].in <== v + p[w] - 2 * over[w];
        days[w] <== v + p[w] - 2 * over[w] + flag[w] * (1 << PB);
        total -= over[w];
    }
    excess <== total;
}
