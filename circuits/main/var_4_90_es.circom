// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "../lib/var.circom";

// VaR and expected shortfall at 95 % over 90 days (k = 5, tail mass 9/2) for 4 instruments. Public signals: z, y, x.
component main {public [x]} = VarEs(4, 90, 5, 9, 2, 40, 82, 83);
