/** Hostile heads: a sound heads folder with changed fields or bytes. It must load, or be refused and leave nothing. */
import fc from "fast-check";
import { attachHeads, type Model, serializeHeads } from "early-exits";
import { loadHeads } from "../../src/exits/heads/deserialize-heads.js";
import { askedHeads, attachOptionsOf } from "../../test/support/models.js";
import { encodeJson, type Files, memoryFolder } from "./memory-files.js";
import { type ByteChange, byteChange, changedBytes, changedJson, type JsonChange, jsonChange } from "./mutations.js";

interface HostileHeads {
  /** An index of `askedHeads`. */
  readonly pair: number;
  readonly description: readonly JsonChange[];
  readonly weights: readonly ByteChange[];
}

export const hostileHeads: fc.Arbitrary<HostileHeads> = fc
  .record({
    pair: fc.nat(askedHeads.length - 1),
    description: fc.array(jsonChange, { maxLength: 2 }),
    weights: fc.array(byteChange, { maxLength: 1 }),
  })
  .filter(({ description, weights }) => description.length + weights.length > 0);

const sound = new WeakMap<Model, Map<number, Promise<readonly [description: unknown, weights: Uint8Array]>>>();

/** Loads the heads for the model, and frees them. */
export async function useHeads({ pair, description, weights }: HostileHeads, model: Model): Promise<void> {
  const [soundDescription, soundWeights] = await soundHeads(pair, model);
  const files: Files = {
    "heads.json": encodeJson(description.reduce<unknown>(changedJson, soundDescription)),
    "heads.safetensors": weights.reduce(changedBytes, soundWeights),
  };
  (await loadHeads(memoryFolder(files), model)).dispose();
}

/** Made before an attack, so that what they keep on the device is not counted against it. */
export function soundHeads(pair: number, model: Model): Promise<readonly [description: unknown, weights: Uint8Array]> {
  const made = sound.get(model) ?? new Map<number, Promise<readonly [unknown, Uint8Array]>>();
  sound.set(model, made);
  const heads = made.get(pair) ?? makeHeads(pair, model);
  made.set(pair, heads);
  return heads;
}

async function makeHeads(pair: number, model: Model): Promise<readonly [unknown, Uint8Array]> {
  const heads = attachHeads(model, { exits: [1, 2], ...attachOptionsOf(askedHeads[pair]!) });
  const { description, weights } = await serializeHeads(heads);
  heads.dispose();
  return [description, weights];
}
