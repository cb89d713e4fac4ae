/** Heads with random blocks at three depths of small models of every family. */
import fc from "fast-check";
import { attachHeads, type ExitHeads } from "early-exits";
import { fitProjections, headVocabularies } from "early-exits/exits";
import { createDevice } from "early-exits/node";
import { cacheDtypes, createReferenceDevice } from "early-exits/tensor";
import { giveRandomBlocks, randomIds, smallConfigs, smallModel } from "../../support/models.js";

export const wasm = await createDevice("wasm");
const devices = { reference: createReferenceDevice(), wasm } as const;

export const VOCAB = 61;
export const DEPTHS = [1, 2, 3];
export const LAYERS = 4;

export const setup = fc.record({
  config: fc.constantFrom(...Object.keys(smallConfigs)),
  on: fc.constantFrom("reference" as const, "wasm" as const),
  kvCache: fc.constantFrom(...cacheDtypes),
  vocabulary: fc.constantFrom(...headVocabularies),
  dtype: fc.constantFrom("float32" as const, "int8" as const),
});
export type Setup = typeof setup extends fc.Arbitrary<infer T> ? T : never;

const made = new Map<string, Promise<ExitHeads>>();

/** Heads with random blocks at three depths of four, made once. */
export function headsOf(given: Setup): Promise<ExitHeads> {
  const key = JSON.stringify(given);
  const heads = made.get(key) ?? makeHeads(given);
  made.set(key, heads);
  return heads;
}

export async function makeHeads({ config, on, kvCache, vocabulary, dtype }: Setup): Promise<ExitHeads> {
  const model = await smallModel({ config: smallConfigs[config]!, device: devices[on], kvCache });
  const heads = attachHeads(model, { exits: DEPTHS, map: "block", vocabulary, dtype });
  await heads.ready();
  giveRandomBlocks(heads);
  await fitProjections(heads, [randomIds(24, VOCAB, 9)], { sequenceLength: 24 });
  await heads.freeze();
  return heads;
}
