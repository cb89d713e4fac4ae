#!/usr/bin/env node
/** The program `early-exits`. Exit status: 0 done, 1 refused or failed, 2 usage, 130 interrupted with state kept. */
import { processIo } from "./process-io.js";
import { main } from "./program.js";

process.exitCode = await main(process.argv.slice(2), processIo());
