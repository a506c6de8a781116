// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

// Statement: out = in[0] + in[1] x + ... + in[M-1] x^(M-1), by Horner.
// Parameters: M > 0. Inputs: x, in[M] (field). Output: out (field). Constraints: M - 1.
template Evaluate(M) {
    signal input x;
    signal input in[M];
    signal output out;

    signal partial[M];
    partial[M - 1] <== in[M - 1];
    for (var i = M - 2; i >= 0; i--) {
        partial[i] <== partial[i + 1] * x + in[i];
    }
    out <== partial[0];
}
