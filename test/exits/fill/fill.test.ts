/**
 * Fills: after exact ones, the KV cache equals that of a fresh full pass, bit for bit, whatever happens; after
 * approximate ones, every position is complete.
 */
import { fc, test } from "@fast-check/vitest";
import { createPolicy, type FillName, generate } from "early-exits";
import { advance, Sequence } from "early-exits/model";
import { type DecodeObserver, Ledger, measureDrift } from "early-exits/exits";
import { describe, expect, it } from "vitest";
import { fillCost, fills } from "../../../src/exits/fill/fill.js";
import { skippedLayers } from "../../../src/exits/heads/projection.js";
import { expectInvariant } from "../../support/invariant.js";
import { randomIds } from "../../support/models.js";
import { device, documents, type FillSetup, names, setup } from "./setup.js";

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
 * Plays actions: runs a token to an exit and fills, or to full depth; cuts, replays and copies the sequence. Calls
 * `check` after every action, with the depth that each position's own token stopped at.
 */
async function play(
  { model, heads }: FillSetup,
  fill: FillName,
  actions: readonly Action[],
  check: (sequence: Sequence, stopped: readonly number[]) => Promise<void>,
): Promise<void> {
  let sequence = new Sequence(model, 2); // grows on the way
  const stopped: number[] = [];
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
    "keys, values and states are those of a fresh full pass, bit for bit, after any exits, cuts, replays and copies",
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

  it("recompute runs the whole prefix after an exit, lazy only the missing blocks, with the same tokens", async () => {
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

describe("lazyLimit", () => {
  test.prop([fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 9 })], { numRuns: 20 })(
    "after n exits in a row, one token runs all blocks, its own and those that the n skipped",
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

  it("is for fill lazy, and an integer from 1", async () => {
    const { heads } = await setup("llama");
    expect(() => createPolicy(heads, 1, { fill: "propagate", lazyLimit: 2 })).toThrow(
      /limits the backlog of fill lazy/,
    );
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
    "every position is complete after its token, and replaying a cut suffix gives the same bits",
    async (name, fill, actions) => {
      const { model, heads } = await setup(name);
      expect(fills[fill].exact).toBe(false);
      await play({ model, heads }, fill, actions, async (sequence, stopped) => {
        expect(stopped.map((_, s) => sequence.depthOf(s))).toEqual(stopped.map(() => 4));
        // The same tokens, leaving at the same exits, from the start.
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

  it("fillCost is what the ledger counts", async () => {
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
