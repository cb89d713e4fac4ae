/**
 * The `advance` primitive and the sequence: in whatever order positions go deeper, the result is bit-identical to that
 * of one full forward pass, on every device and in every dtype.
 */
import { between, casesHere, type Drawn, fc, real, test } from "../support/property.js";
import { advance, Sequence } from "early-exits/model";
import { createDevice } from "early-exits/node";
import { fillCaches, prefill, runTo } from "../../src/model/advance.js";
import { describe, expect, it } from "vitest";
import { weightDtypes } from "../../src/tensor/device.js";
import { devicesHere } from "../support/devices.js";
import { expectInvariant } from "../support/invariant.js";
import { once, randomIds, smallConfigs, smallModel } from "../support/models.js";

const { reference, wasm } = await devicesHere();
const portable = await createDevice("wasm", { build: "portable" });
const devices = [reference, wasm, portable, await createDevice("wasm", { threads: 2 })];
const kinds = fc.record({
  config: fc.constantFrom(...Object.values(smallConfigs)),
  dtype: fc.constantFrom(...weightDtypes),
  device: fc.constantFrom(...devices.keys()),
});
const modelOf = once(({ device, ...kind }: Drawn<typeof kinds>) => smallModel({ ...kind, device: devices[device]! }));
const llama = () => modelOf({ config: smallConfigs["llama"]!, dtype: "float32", device: 0 });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("append" as const), count: between(1, 3) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("advance" as const), depth: between(1, 4) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom("truncate" as const, "replay" as const), share: real(0, 1) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("clone" as const) }) },
);

describe("advance", () => {
  test.prop([kinds, fc.array(step, { minLength: 1, maxLength: 12 }), fc.nat()], {
    numRuns: casesHere(100),
  })(
    "random appends, advances, truncations, replays and clones keep the invariant, bit for bit",
    async (kind, steps, seed) => {
      const model = await modelOf(kind);
      const ids = randomIds(40, model.config.vocabSize, seed);
      let sequence = new Sequence(model, 4); // small, so that it must grow
      for (const action of steps) {
        if (action.kind === "append") sequence.append(...ids.slice(0, action.count));
        if (action.kind === "advance") {
          runTo(sequence, action.depth);
        }
        if (action.kind === "truncate") sequence.truncate(Math.floor(action.share * sequence.length));
        if (action.kind === "replay") {
          const replayed = sequence.ids.slice(Math.floor(action.share * sequence.length));
          sequence.truncate(sequence.length - replayed.length);
          sequence.append(...replayed);
        }
        if (action.kind === "clone") {
          const copy = sequence.clone();
          sequence.dispose();
          sequence = copy;
        }
        if (sequence.length > 0) await expectInvariant(model, sequence);
      }
      sequence.dispose();
    },
  );

  it("counts no row that runs along", async () => {
    const sequence = new Sequence(await llama());
    sequence.append(1, 2);
    sequence.runAlong(3);
    runTo(sequence, 2);
    expect(sequence.lengthAt(4)).toBe(0);
  });

  test.prop([kinds, fc.array(between(1, 20), { minLength: 1, maxLength: 3 }), between(1, 60)], {
    numRuns: casesHere(100),
  })(
    "prefill of many texts, in slices of any size, and filled caches leave what each alone leaves, bit for bit",
    async (kind, lengths, sliceRows) => {
      const model = await modelOf(kind);
      const work = lengths.map((length) => {
        const sequence = new Sequence(model);
        sequence.append(...randomIds(length, 61, length));
        return { sequence, positions: sequence.pending(4).slice(0, -1) };
      });
      await prefill(model, work, 2, { sliceRows });
      await fillCaches(model, work, { sliceRows: 3 });
      for (const { sequence } of work) {
        runTo(sequence, 4);
        await expectInvariant(model, sequence);
        const states = await model.hiddenStates(sequence.ids); // by operations on tensors
        const last = await sequence.hidden(sequence.length - 1).read();
        expect(last).toEqual(states.at(-1)!.subarray(-last.length));
        sequence.dispose();
      }
    },
  );

  it("prefill that is aborted leaves positions behind the last block they passed, and is taken up again", async () => {
    const model = await llama();
    const sequence = new Sequence(model);
    sequence.append(...randomIds(12, 61, 5));
    const work = [{ sequence, positions: sequence.pending(4) }];
    let left = 6; // how often it is asked until it is aborted: in the second block, or the third
    const signal = {
      aborted: false,
      throwIfAborted() {
        if (--left < 0) throw new Error("stopped");
      },
    };
    await expect(prefill(model, work, 4, { sliceRows: 4, signal })).rejects.toThrow("stopped");
    const depths = sequence.ids.map((_, s) => sequence.depthOf(s));
    expect(depths[0]).toBeGreaterThan(0);
    expect(depths.at(-1)).toBeLessThan(4);
    await expectInvariant(model, sequence);
    await prefill(model, work, 4, { sliceRows: 4 });
    await expectInvariant(model, sequence);
    sequence.dispose();
  });

  it("refuses positions whose predecessors are not deep enough", async () => {
    const model = await llama();
    const sequence = new Sequence(model);
    sequence.append(1, 2, 3);
    expect(() => advance(model, [{ sequence, positions: [2] }], 1)).toThrow(/earlier positions are all that deep/);
    expect(() => advance(model, [{ sequence, positions: [0, 2] }], 1)).toThrow(/contiguous/);
  });
});

describe("sequence", () => {
  it("refuses tokens beyond the vocabulary and the context, and states that were never kept", async () => {
    const sequence = new Sequence(await llama());
    expect(() => sequence.append(61)).toThrow(/token id 61 is outside/);
    expect(() => sequence.append(...new Array<number>(97).fill(1))).toThrow(/exceed the context limit of 96/);
    expect(sequence.length).toBe(0);
    sequence.append(1);
    expect(() => sequence.hidden(0)).toThrow(/position 0 has no kept state/);
  });
});
