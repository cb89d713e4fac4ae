/**
 * Key/value strategies: exact ones equal a fresh full pass bit for bit whatever happens, learned ones begin as
 * propagation and come closer.
 */
import { fc, test } from "@fast-check/vitest";
import { mean } from "d3-array";
import {
  attachHeads,
  createPolicy,
  type ExitHeads,
  type FillName,
  fitProjections,
  generate,
  type Model,
  serializeHeads,
  trainHeads,
} from "early-exits";
import { createReferenceDevice, type Tensor } from "early-exits/tensor";
import { advance, Sequence } from "early-exits/model";
import { type DecodeObserver, deserializeHeads, Ledger, measureDrift, refineProjections } from "early-exits/exits";
import { describe, expect, it } from "vitest";
import { keyValueOf, normalize } from "../../../src/model/block.js";
import { fillCost, fills } from "../../../src/exits/fill/fill.js";
import { skippedLayers, unitGain } from "../../../src/exits/heads/projection.js";
import { scope } from "../../../src/tensor/tensor.js";
import { expectInvariant } from "../../support/invariant.js";
import { randomIds, smallConfigs, smallModel } from "../../support/models.js";

const device = createReferenceDevice();
const documents = Array.from({ length: 24 }, (_, i) => randomIds(32, 61, 100 + i));
const setups = new Map<string, Promise<{ model: Model; heads: ExitHeads }>>();
/** Heads at every depth, with learned keys and values. */
function setup(name: string): Promise<{ model: Model; heads: ExitHeads }> {
  const made =
    setups.get(name) ??
    (async () => {
      const model = await smallModel({ config: smallConfigs[name]!, device });
      const heads = attachHeads(model, { exits: [1, 2, 3, 4], kind: "tied" });
      await fitProjections(heads, documents, { sequenceLength: 32 });
      await heads.freeze();
      return { model, heads };
    })();
  setups.set(name, made);
  return made;
}
const names = Object.keys(smallConfigs);

type Action =
  | { readonly kind: "token"; readonly id: number; readonly exit: number | undefined }
  | { readonly kind: "truncate" | "replay"; readonly share: number }
  | { readonly kind: "clone" };
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("token" as const),
      id: fc.integer({ min: 0, max: 58 }),
      exit: fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("truncate" as const, "replay" as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Action>({ kind: "clone" }) },
);

/**
 * Runs a token to an exit (then fills) or to full depth; cuts, replays and copies in between. Calls `check` after every
 * action.
 */
async function play(
  { model, heads }: { model: Model; heads: ExitHeads },
  fill: FillName,
  actions: readonly Action[],
  check: (sequence: Sequence, stopped: readonly number[]) => Promise<void>,
): Promise<void> {
  let sequence = new Sequence(model, 2); // grows on the way
  const stopped: number[] = []; // per position: the depth its own token stopped at
  const token = (id: number, exit: number | undefined): void => {
    const depth = exit === undefined ? 4 : heads.depths[exit]!;
    sequence.append(id);
    advance(model, [{ sequence, positions: sequence.pending(depth) }], depth);
    if (exit !== undefined) fills[fill].apply(heads, sequence, sequence.length - 1, exit);
    stopped.push(depth);
  };
  for (const step of actions) {
    if (step.kind === "token") token(step.id, step.exit);
    else if (step.kind === "clone") {
      const copy = sequence.clone();
      sequence.dispose();
      sequence = copy;
    } else {
      const length = Math.floor(step.share * sequence.length);
      const again = sequence.ids.slice(length);
      const depths = stopped.slice(length);
      sequence.truncate(length);
      stopped.length = length;
      if (step.kind === "replay") {
        again.forEach((id, i) => {
          token(id, depths[i] === 4 ? undefined : heads.depths.indexOf(depths[i]!));
        });
      }
    }
    if (sequence.length > 0) await check(sequence, stopped);
  }
  sequence.dispose();
}

describe("exact fills", () => {
  test.prop(
    [
      fc.constantFrom(...names),
      fc.constantFrom<FillName>("lazy", "recompute"),
      fc.array(action, { minLength: 1, maxLength: 12 }),
    ],
    { numRuns: 30 },
  )(
    "keys, values and kept states are those of a fresh full pass, bit for bit, after any exits, cuts, replays " +
      "and copies",
    async (name, fill, actions) => {
      const { model, heads } = await setup(name);
      expect(fills[fill].exact).toBe(true);
      await play({ model, heads }, fill, actions, (sequence) => expectInvariant(model, sequence));
    },
  );

  it.each(["lazy", "recompute"] as const)("%s does not drift", async (fill) => {
    const { heads } = await setup("llama");
    const { kept, kl, left, compared } = await measureDrift(heads, documents.slice(0, 4), {
      fill,
      exit: 1,
      sequenceLength: 16,
    });
    expect([kept, kl]).toEqual([1, 0]);
    expect(left + compared).toBe(128);
    expect(Math.min(left, compared)).toBeGreaterThan(40);
  });

  it("recompute runs the whole prefix again after an exit, lazy only what is missing, and both say the same", async () => {
    const { heads } = await setup("llama");
    const runs = [];
    for (const fill of ["lazy", "recompute"] as const) {
      const depths: number[] = [];
      // Two tokens of three leave at depth 2.
      const observer: DecodeObserver = {
        observe: () => undefined,
        thresholds: () => ["never", depths.length % 3 === 2 ? "never" : "always", "never", "never"],
      };
      const run = generate(heads, [1, 2, 3, 4], {
        policy: createPolicy(heads, "never", { fill }),
        observer,
        maxNewTokens: 12,
        stopAtEndOfText: false,
      });
      for await (const { depth } of run) depths.push(depth);
      runs.push({ depths, ids: run.summary.ids, blocks: run.summary.ledger.steps.map(({ blocks }) => blocks) });
    }
    const lazy = runs[0]!;
    const recompute = runs[1]!;
    expect(recompute.ids).toEqual(lazy.ids);
    expect(recompute.depths).toEqual(lazy.depths);
    expect(lazy.depths).toEqual([2, 2, 4, 2, 2, 4, 2, 2, 4, 2, 2, 4]);
    expect(lazy.blocks).toEqual([2, 2, 8, 2, 2, 8, 2, 2, 8, 2, 2, 8]);
    const prefix = (i: number): number => (i > 0 && lazy.depths[i - 1] === 2 ? 4 + i : 1);
    expect(recompute.blocks).toEqual(lazy.depths.map((depth, i) => prefix(i) * depth));
  });
});

describe("a bound on the backlog of lazy", () => {
  test.prop([fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 9 })], { numRuns: 20 })(
    "after n exits in a row one token runs all blocks, and theirs",
    async (lazyLimit, length) => {
      const { heads } = await setup("llama");
      const run = generate(heads, randomIds(length, 59, 3), {
        policy: createPolicy(heads, ["always", "never", "never", "never"], { lazyLimit }),
        maxNewTokens: 20,
        stopAtEndOfText: false,
      });
      const depths: number[] = [];
      for await (const { depth } of run) depths.push(depth);
      expect(depths).toEqual(depths.map((_, i) => (i % (lazyLimit + 1) === lazyLimit ? 4 : 1)));
      const { steps, passesByRows } = run.summary.ledger;
      expect(passesByRows.length - 1).toBeLessThanOrEqual(lazyLimit + 1);
      steps.forEach(({ blocks, heads: evaluated }, i) =>
        expect([blocks, evaluated]).toEqual(depths[i] === 4 ? [4 + 3 * lazyLimit, 0] : [1, 1]),
      );
    },
  );

  it("belongs to lazy, and is an integer from 1", async () => {
    const { heads } = await setup("llama");
    expect(() => createPolicy(heads, 1, { fill: "propagate", lazyLimit: 2 })).toThrow(/bounds the backlog of lazy/);
    expect(() => createPolicy(heads, 1, { lazyLimit: 0 })).toThrow(/integer from 1/);
  });
});

describe("approximate fills", () => {
  test.prop(
    [
      fc.constantFrom(...names),
      fc.constantFrom<FillName>("propagate", "project"),
      fc.array(action, { minLength: 1, maxLength: 10 }),
    ],
    { numRuns: 40 },
  )(
    "every position is complete after its token, and replaying a cut gives the same bits",
    async (name, fill, actions) => {
      const { model, heads } = await setup(name);
      expect(fills[fill].exact).toBe(false);
      await play({ model, heads }, fill, actions, async (sequence, stopped) => {
        expect(stopped.map((_, s) => sequence.depthOf(s))).toEqual(stopped.map(() => 4));
        // The same tokens leaving at the same exits, from the start.
        const other = new Sequence(model);
        for (const [s, id] of sequence.ids.entries()) {
          other.append(id);
          advance(model, [{ sequence: other, positions: [s] }], stopped[s]!);
          if (stopped[s]! < 4) fills[fill].apply(heads, other, s, heads.depths.indexOf(stopped[s]!));
        }
        for (let layer = 0; layer < 4; layer++) {
          expect(await device.readCache(sequence.cache(layer), 0, sequence.length)).toEqual(
            await device.readCache(other.cache(layer), 0, sequence.length),
          );
        }
        other.dispose();
      });
    },
  );

  it("the cost of a fill is what the ledger counts", async () => {
    for (const name of names) {
      const { model, heads } = await setup(name);
      for (const fill of ["propagate", "project"] as const) {
        for (const [exit, depth] of heads.depths.slice(0, 3).entries()) {
          const ledger = new Ledger(heads);
          const sequence = new Sequence(model);
          sequence.append(3);
          advance(model, [{ sequence, positions: [0] }], depth);
          ledger.step(0);
          fills[fill].apply(heads, sequence, 0, exit, ledger);
          ledger.step(1);
          const { decode } = ledger.report([]);
          expect(decode.multiplyAdds).toBe(fillCost(fill, model.config, depth));
          expect([decode.fills, decode.blocks]).toEqual([skippedLayers(model.config, depth).length, 0]);
          sequence.dispose();
        }
      }
    }
  });
});

describe("learned keys and values", () => {
  it.each(names)(
    "%s: those of the first skipped block are the model's own; a huge ridge leaves propagation",
    async (name) => {
      const { model, heads } = await setup(name);
      const shrunk = attachHeads(model, { exits: [1, 2, 3], kind: "tied" });
      await fitProjections(shrunk, documents, { sequenceLength: 32, ridge: 1e5, input: "both" });
      await shrunk.freeze();
      const [one, two] = [9, 10].map((seed) =>
        model.forward(randomIds(1, 61, seed), { toDepth: 3, wanted: () => true }),
      );
      for (const [exit, depth] of [1, 2, 3].entries()) {
        const layers = skippedLayers(model.config, depth);
        if (layers.length === 0) {
          expect(heads.heads[exit]!.projection).toBeUndefined(); // the blocks above share theirs: nothing to learn
          continue;
        }
        const propagated = async (state: Tensor): Promise<number[]> => {
          const all: number[] = [];
          for (const layer of layers) {
            all.push(...(await keyValueOf(state, model.weights.blocks[layer]!, model.config).read()));
          }
          return all;
        };
        const learned = async (of: ExitHeads, state: Tensor): Promise<Float32Array> =>
          scope(() => of.heads[exit]!.projection!.keyValues(state)).read();
        const own = await propagated(one!.get(depth)!);
        const fitted = await learned(heads, one!.get(depth)!);
        own.slice(0, own.length / layers.length).forEach((value, i) => expect(fitted[i]).toBeCloseTo(value, 4));
        // The bias is not shrunk, so a constant may remain: differences between two states are propagation's.
        const [other, ...shrunken] = [
          await propagated(two!.get(depth)!),
          await learned(shrunk, one!.get(depth)!),
          await learned(shrunk, two!.get(depth)!),
        ];
        own.forEach((value, i) => expect(shrunken[0][i]! - shrunken[1][i]!).toBeCloseTo(value - other[i]!, 3));
      }
      shrunk.dispose();
    },
  );

  it.each(["gpt2", "gpt_neox, parallel", "llama"])(
    "%s: the fit is the least-squares one: no small change of a weight lowers the penalised error",
    async (name) => {
      const { model, heads } = await setup(name);
      const head = heads.heads[1]!; // depth 2, skips blocks 2 and 3
      const { weight, bias } = head.projection!;
      const w = await weight.read();
      const b = await bias.read();
      const [rows, columns] = weight.shape as [number, number];
      // Inputs and targets of all positions, from the model's own pass.
      const [inputs, targets]: [number[][], number[][]] = [[], []];
      for (const document of documents) {
        const states = model.forward(document, { wanted: (depth) => depth === 2 || depth === 3 });
        const normed = await scope(() => normalize(states.get(2)!, { gain: unitGain(model) }, model.config)).read();
        const deep = await keyValueOf(states.get(3)!, model.weights.blocks[3]!, model.config).read();
        const width = rows / 2;
        document.forEach((_, t) => {
          inputs.push(Array.from(normed.slice(t * columns, (t + 1) * columns)));
          targets.push(Array.from(deep.slice(t * width, (t + 1) * width)));
        });
      }
      const errorOf = (row: number, change: (weights: number[]) => void): number => {
        const weights = Array.from(w.slice(row * columns, (row + 1) * columns));
        change(weights);
        return inputs.reduce(
          (sum, x, t) =>
            sum +
            (targets[t]![row - rows / 2]! - b[row]! - x.reduce((dot, value, c) => dot + value * weights[c]!, 0)) ** 2,
          0,
        );
      };
      for (const row of [rows / 2, rows - 1]) {
        // of block 3
        const best = errorOf(row, () => undefined);
        for (const c of [0, 7, columns - 1]) {
          for (const change of [-0.3, 0.3]) {
            expect(
              errorOf(row, (weights) => {
                weights[c]! += change;
              }),
            ).toBeGreaterThan(best);
          }
        }
      }
    },
  );

  it("drifts less than propagation on text like that it was fitted on, at no more cost", async () => {
    const { heads } = await setup("llama");
    const held = Array.from({ length: 6 }, (_, i) => randomIds(32, 61, 900 + i));
    const propagate = await measureDrift(heads, held, { fill: "propagate", exit: 1 });
    const project = await measureDrift(heads, held, { fill: "project", exit: 1 });
    expect(project.kl).toBeLessThan(propagate.kl);
    expect(propagate.kl).toBeGreaterThan(0.001);
    expect(project.ledger.decode.multiplyAdds).toBe(propagate.ledger.decode.multiplyAdds);
  });

  it.each([
    ["llama", "normalized"],
    ["gpt_neox, parallel", "both"],
  ] as const)(
    "%s, %s: trained further they drift less on other text than as fitted, and the loss they report is that drift",
    async (name, input) => {
      const heads = attachHeads((await setup(name)).model, { exits: [1, 2], kind: "tied" });
      await fitProjections(heads, documents, { input });
      await heads.freeze();
      const held = Array.from({ length: 6 }, (_, i) => randomIds(32, 61, 900 + i));
      const drift = async (): Promise<number> => (await measureDrift(heads, held, { fill: "project", exit: 1 })).kl;
      const fitted = await drift();
      const before = await heads.hash();
      const losses: number[] = [];
      await refineProjections(heads, documents, {
        steps: 40,
        batchSize: 4,
        sequenceLength: 32,
        onStep: (event) => losses.push(event.losses[1]!),
      });
      await heads.freeze();
      const refined = await drift();
      expect(refined).toBeLessThan(0.9 * fitted);
      expect(mean(losses.slice(0, 10))).toBeGreaterThan(mean(losses.slice(-10))!);
      expect(Math.abs(Math.log(losses[0]! / fitted))).toBeLessThan(1); // the first step's loss is the fitted maps'
      expect(await heads.hash()).not.toBe(before);
    },
  );

  it(
    "are trained only where they were fitted, on windows that are full, and stay as they were when that is " +
      "aborted",
    async () => {
      const { model, heads } = await setup("llama");
      await expect(refineProjections(attachHeads(model, { exits: [2] }), documents)).rejects.toMatchObject({
        code: "policy-fill",
      });
      await expect(refineProjections(heads, [randomIds(5, 61, 1)], { sequenceLength: 32 })).rejects.toMatchObject({
        code: "documents-few",
      });
      const before = await heads.hash();
      await expect(
        refineProjections(heads, documents, { sequenceLength: 32, signal: AbortSignal.abort(new Error("enough")) }),
      ).rejects.toThrow("enough");
      expect(await heads.hash()).toBe(before);
    },
  );

  it("are saved with the heads, bit for bit, bound by the hash, and survive training", async () => {
    const model = await smallModel({ device });
    const heads = attachHeads(model, { exits: [1, 3], kind: "tied" });
    const before = await heads.hash();
    expect((await serializeHeads(heads)).description.version).toBe(1);
    await fitProjections(heads, documents, { input: "both", positions: 128 });
    expect(await heads.hash()).not.toBe(before);
    await trainHeads(heads, documents, { steps: 1 });
    const stored = await serializeHeads(heads);
    expect(stored.description).toMatchObject({ version: 2, heads: [{ projection: "both" }, { projection: "both" }] });
    const again = await deserializeHeads(model, JSON.parse(JSON.stringify(stored.description)), stored.weights);
    expect((await serializeHeads(again)).weights).toEqual(stored.weights);
    expect(await again.hash()).toBe(await heads.hash());
    const policy = createPolicy(again, "always", { fill: "project" });
    for await (const token of generate(again, [1], { policy, maxNewTokens: 3 })) expect(token.depth).toBe(1);
    await expect(
      deserializeHeads(
        model,
        { ...stored.description, heads: [{ depth: 1, kind: "tied", inner: 0, projection: "odd" }] },
        stored.weights,
      ),
    ).rejects.toMatchObject({ code: "heads-format" });
  });

  it("must be there before a policy fills by them", async () => {
    const { model } = await setup("llama");
    const heads = attachHeads(model, { exits: [2] });
    const run = generate(heads, [1], { policy: createPolicy(heads, "always", { fill: "project" }) });
    await expect(run[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "policy-fill" });
  });
});
