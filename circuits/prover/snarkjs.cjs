// SPDX-License-Identifier: GPL-3.0-or-later
// snarkjs as a child of circuits/prover/snarkjs.py: one request, a line of JSON on stdin; lines of JSON on stdout, the last
// is the answer. Ends when stdin closes, so that it never outlives who asked.
//
// {"task": "prove", "wasm", "zkey", "key": files, "inputs", "public_inputs"}    {"proof", "valid", cpu_seconds, peak_bytes}
// {"task": "verify", "key": file, "proof": as snarkjs writes it, "public_inputs"}                {"valid"} or {"refused"}
// {"task": "check", "r1cs", "ptau", "zkey": files}                                                              {"valid"}
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const { groth16, wtns, zKey } = require("snarkjs");

// What the library prints must not look like an answer
console.log = console.error;

function say(message) {
  fs.writeSync(1, `${JSON.stringify(message)}\n`);
}

function file(path) {
  return { type: "mem", data: new Uint8Array(fs.readFileSync(path)) };
}

async function prove(request) {
  say({ progress: "loading the key" });
  const [wasm, zkey, key] = [file(request.wasm), file(request.zkey), JSON.parse(fs.readFileSync(request.key))];
  say({ progress: "proving" });
  const before = process.cpuUsage();
  const witness = { type: "mem" };
  try {
    await wtns.calculate(request.inputs, wasm, witness);
  } catch (error) {
    return { refused: `no witness: ${String(error.message ?? error).split("\n")[0]}` };
  }
  const { proof } = await groth16.prove(zkey, witness);
  const used = process.cpuUsage(before);
  say({ progress: "verifying" });
  const valid = await groth16.verify(key, request.public_inputs, proof);
  const peak = process.resourceUsage().maxRSS * 1024;
  return { proof, valid, cpu_seconds: (used.user + used.system) / 1e6, peak_bytes: peak };
}

const TASKS = {
  prove,
  verify: async (request) => ({
    valid: await groth16.verify(JSON.parse(fs.readFileSync(request.key)), request.public_inputs, request.proof),
  }),
  check: async (request) => ({ valid: await zKey.verifyFromR1cs(request.r1cs, request.ptau, request.zkey) }),
};

const lines = readline.createInterface({ input: process.stdin });
lines.once("line", async (line) => {
  try {
    const request = JSON.parse(line);
    say(await TASKS[request.task](request));
    process.exit(0);
  } catch (error) {
    say({ error: String(error.message ?? error).split("\n")[0] });
    process.exit(1);
  }
});
lines.once("close", () => process.exit(2));
