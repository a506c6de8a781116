// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

// Statement: out[i] = sum_j in[PER i + j] 2^(BITS j): PER values an element, the last element filled with zeros.
// Parameters: M > 0 values; BITS each; PER an element, PER BITS <= 252. Inputs: in[M], each below 2^BITS: the caller's
//   duty, without which different values share an element. Output: out[ceil(M / PER)] (field). Constraints: none (linear).
template Pack(M, BITS, PER) {
    var SIZE = (M + PER - 1) \ PER;
    signal input in[M];
    signal output out[SIZE];

    for (var i = 0; i < SIZE; i++) {
        var sum = 0;
        for (var j = 0; j < PER; j++) {
            if (PER * i + j < M) {
                sum += in[PER * i + j] * (1 << (BITS * j));
            }
        }
        out[i] <== sum;
    }
}
