#!/usr/bin/env node
/** The program `early-exits`. Exit status: 0 done, 1 refused or failed, 2 usage, 130 interrupted with state kept. */
import { setFlagsFromString } from "node:v8";
import { processIo } from "./process-io.js";
import { main } from "./program.js";

// Node 24 then computes two neighbouring vectors of kernels as one of 256 bits, with the same bits (docs/10).
const { arch, execArgv, versions } = process;
if (arch === "x64" && versions.v8.startsWith("13.") && !execArgv.some((flag) => flag.includes("revectorize"))) {
  setFlagsFromString("--experimental-wasm-revectorize");
}

process.exitCode = await main(process.argv.slice(2), processIo());
