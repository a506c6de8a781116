// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "../lib/var.circom";

// VaR at 95 % over 90 days (k = 5, tail mass 9/2) for 64 instruments. Public signals: z, y, x.
component main {public [x]} = Var(64, 90, 5, 40, 82, 83);
