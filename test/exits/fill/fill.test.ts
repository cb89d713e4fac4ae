/** Fills: after approximate ones, every position is complete, whatever happens; the lazy one does not drift. */
import { between, fc, real, test } from "../../support/property.js";
import type { ExitHeads } from "early-exits";
import { advance, Sequence } from "early-exits/model";
import { Ledger } from "../../../src/exits/cost/ledger.js";
import { measureDrift } from "../../../lab/drift.js";
import { describe, expect, it } from "vitest";
import { fillCost, fills } from "../../../src/exits/fill/fill.js";
import { skippedLayers } from "../../../src/exits/heads/projection.js";
import { device, documents, names, setup } from "./setup.js";

type Action =
  | { readonly kind: "token"; readonly id: number; readonly exit: number | undefined }
  | { readonly kind: "truncate" | "replay"; readonly share: number }
  | { readonly kind: "clone" };
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("token" as const),
      id: between(0, 58),
      exit: fc.option(between(0, 2), { nil: undefined }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("truncate" as const, "replay" as const),
      share: real(0, 1),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Action>({ kind: "clone" }) },
);

/** Runs one more token to an exit and fills, or to full depth. */
function run(heads: ExitHeads, sequence: Sequence, id: number, exit: number | undefined) {
  const depth = exit === undefined ? 4 : heads.depths[exit]!;
  sequence.append(id);
  advance(heads.model, [{ sequence, positions: sequence.pending(depth) }], depth);
  if (exit !== undefined) fills.project.apply(heads, sequence, sequence.length - 1, exit);
}

it("lazy does not drift", async () => {
  const { heads } = await setup("llama");
  const { kept, kl, left, compared } = await measureDrift(heads, documents.slice(0, 4), {
    fill: "lazy",
    exit: 1,
    sequenceLength: 16,
  });
  expect([kept, kl]).toEqual([1, 0]);
  expect(left + compared).toBe(128);
  expect(Math.min(left, compared)).toBeGreaterThan(40);
});

describe("the approximate fill", () => {
  test.prop([fc.constantFrom(...names), fc.array(action, { minLength: 1, maxLength: 10 })], { numRuns: 40 })(
    "every position is complete after its token, and replaying a cut suffix gives the same bits",
    async (name, actions) => {
      const { model, heads } = await setup(name);
      expect(fills.project.exact).toBe(false);
      let sequence = new Sequence(model, 2); // grows on the way
      let exits: (number | undefined)[] = [];
      for (const step of actions) {
        if (step.kind === "token") {
          run(heads, sequence, step.id, step.exit);
          exits.push(step.exit);
        } else if (step.kind === "clone") {
          const copy = sequence.clone();
          sequence.dispose();
          sequence = copy;
        } else {
          const length = Math.floor(step.share * sequence.length);
          const cut = sequence.ids.slice(length);
          sequence.truncate(length);
          if (step.kind === "truncate") exits = exits.slice(0, length);
          else for (const [i, id] of cut.entries()) run(heads, sequence, id, exits[length + i]);
        }
        if (sequence.length === 0) continue;
        expect(sequence.ids.map((_, s) => sequence.depthOf(s))).toEqual(sequence.ids.map(() => 4));
        // The same tokens, leaving at the same exits, from the start.
        const other = new Sequence(model);
        for (const [s, id] of sequence.ids.entries()) run(heads, other, id, exits[s]);
        for (let layer = 0; layer < 4; layer++) {
          expect(await device.readCache(sequence.cache(layer), 0, sequence.length)).toEqual(
            await device.readCache(other.cache(layer), 0, sequence.length),
          );
        }
        other.dispose();
      }
      sequence.dispose();
    },
  );

  it("fillCost is what the ledger counts", async () => {
    for (const name of names) {
      const { model, heads } = await setup(name);
      for (const [exit, depth] of heads.depths.slice(0, 3).entries()) {
        const ledger = new Ledger(heads);
        const sequence = new Sequence(model);
        sequence.append(3);
        advance(model, [{ sequence, positions: [0] }], depth);
        ledger.step(0);
        fills.project.apply(heads, sequence, 0, exit, ledger);
        ledger.step(1);
        const { decode } = ledger.report([]);
        expect(decode.multiplyAdds).toBe(fillCost("project", model.config, depth));
        expect([decode.fills, decode.blocks]).toEqual([skippedLayers(model.config, depth).length, 0]);
        sequence.dispose();
      }
    }
  });
});
