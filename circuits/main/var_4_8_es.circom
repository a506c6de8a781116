// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "../lib/var.circom";

// VaR and expected shortfall at 75 % over 8 days (k = 2, tail mass 2) for 4 instruments. Public signals: z, y, x.
component main {public [x]} = VarEs(4, 8, 2, 2, 1, 40, 82, 83);
