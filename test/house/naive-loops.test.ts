/** Kernels name, in their first line, the plain loop that they are checked against; the loop exists. */
import { expect, it } from "vitest";
import { readSource, repositoryFiles } from "./source-files.js";

const NAMED = /^\/\*\*\n \* Naive loop: (\w+) in (\S+\.ts), /;
/** Layouts, steps and choices, which compute nothing by themselves; screening has bounds, not a plain loop. */
const WITHOUT = /\/(?:kernels|math|simd|layout|panels|start-rows|dots|cache|coarse|largest)\.as\.ts$/;

it.each(repositoryFiles("src/tensor/wasm/kernels/*.as.ts").filter((path) => !WITHOUT.test(path)))("%s", (path) => {
  const [, name, target] = NAMED.exec(readSource(path)) ?? [];
  expect(name).toBeDefined();
  expect(readSource(target!)).toMatch(new RegExp(`\\b${name!}\\b`));
});
