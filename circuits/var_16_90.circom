// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "./lib/var.circom";

// VaR at 95 % over 90 days (k = 5) for 16 instruments. P&L: 40 + 32 + 23 + 4 = 99 bits. Public signals: z, y, x.
component main {public [x]} = Var(16, 90, 5, 40, 100, 99);
