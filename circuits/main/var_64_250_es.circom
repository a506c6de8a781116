// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "../lib/var.circom";

// VaR and expected shortfall at 95 % over 250 days (k = 13, tail mass 25/2) for 64 instruments. Public signals: z, y, x.
component main {public [x]} = VarEs(64, 250, 13, 25, 2, 40, 82, 83);
