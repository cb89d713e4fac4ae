/** Recorded states that are damaged are refused: heads would be trained on them in silence. */
import { attachHeads } from "early-exits";
import { cachedBatches, recordHidden } from "early-exits/exits";
import { parseSafetensors } from "early-exits/tensor";
import { type SafetensorsInput, serializeSafetensors } from "../../../src/tensor/formats/serialize-safetensors.js";
import { beforeEach, expect, it } from "vitest";
import { memoryStore } from "../../support/memory-store.js";
import { randomIds, smallModel } from "../../support/models.js";
import { expectCode } from "../../support/expect-code.js";

const SHARD = "shard-00000.safetensors";
const model = await smallModel();
const heads = attachHeads(model, { exits: [1, 2] });
let store = memoryStore();
await recordHidden(model, [randomIds(20, 61, 1), randomIds(14, 61, 2)], heads.depths, store);
const recorded = store.files;
beforeEach(() => {
  store = memoryStore(new Map(recorded));
});

type Stored = Record<string, SafetensorsInput>;

/** Replaces tensors of the shard, and reads its first batch. */
async function batchWith(change: (tensors: Stored) => Stored) {
  const file = parseSafetensors(store.files.get(SHARD)!);
  const tensors: Stored = Object.fromEntries(
    file.names.map((name) => {
      const { dtype, shape } = file.info(name);
      return [name, { dtype, shape, data: file.bytes(name) }];
    }),
  );
  store.files.set(SHARD, serializeSafetensors(change(tensors), file.metadata));
  return (await cachedBatches(model, heads.depths, store)).batch(0);
}

const rows = 32; // 20 + 14 positions, less one of each window
it.each<[string, (tensors: Stored) => Stored]>([
  [
    "of another width",
    (t) => ({ ...t, final: { dtype: "F32", shape: [rows, 12], data: new Float32Array(rows * 12) } }),
  ],
  ["with too few rows", (t) => ({ ...t, positions: { dtype: "I32", shape: [5], data: new Int32Array(5) } })],
  [
    "with NaN",
    (t) => ({ ...t, final: { dtype: "F32", shape: [rows, 24], data: new Float32Array(rows * 24).fill(NaN) } }),
  ],
  [
    "with infinite scales",
    (t) => ({ ...t, "hidden.1.rms": { dtype: "F32", shape: [rows], data: new Float32Array(rows).fill(Infinity) } }),
  ],
  [
    "with tokens that do not exist",
    (t) => ({ ...t, argmax: { dtype: "I32", shape: [rows], data: new Int32Array(rows).fill(61) } }),
  ],
])("%s is refused", (_, change) =>
  expect(batchWith(change)).rejects.toMatchObject({ code: "cache-damaged", details: { shard: SHARD } }),
);

it("as it was recorded is read", () => expect(batchWith((tensors) => tensors)).resolves.toBeDefined());

it.each([{ rows: "many" }, { depths: null }, { modelHash: 3 }, { rows: [-1] }])(
  "described by a cache.json with %j is refused",
  async (change) => {
    const json = JSON.parse(new TextDecoder().decode(store.files.get("cache.json"))) as object;
    store.files.set("cache.json", new TextEncoder().encode(JSON.stringify({ ...json, ...change })));
    await expectCode(cachedBatches(model, heads.depths, store), "cache-malformed");
  },
);
