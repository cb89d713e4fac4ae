/** What heads with a block of their own cost, and what they say where they cannot work. */
import { attachHeads, createPolicy, ExitHeads, type FillName, generate, trainHeads } from "early-exits";
import {
  type CountName,
  type ExitHead,
  headCost,
  type LedgerReport,
  measureExits,
  streamedBatches,
  type Threshold,
} from "early-exits/exits";
import { advance, blockCacheBytes, Sequence } from "early-exits/model";
import { describe, expect, it } from "vitest";
import { requirePolicyFor } from "../../../src/exits/plan/index.js";
import { randomIds, smallConfigs, smallModel } from "../../support/models.js";
import { DEPTHS, makeHeads, type Setup, VOCAB, wasm } from "./block-setup.js";

describe("without what it needs, a head with a block", () => {
  const given: Setup = { config: "llama", on: "reference", kvCache: "float32", vocabulary: "full", dtype: "float32" };

  it("says so where a sequence holds no keys and values of it, or those of other weights", async () => {
    const heads = await makeHeads(given);
    const { model } = heads;
    const head = heads.heads[0]!;
    const read = (sequence: Sequence) => () => head.inputsAt([{ sequence, positions: [0] }]);
    const bare = new Sequence(model);
    const held = new Sequence(model, 8, heads.sides);
    for (const sequence of [bare, held]) {
      sequence.append(1);
      advance(model, [{ sequence, positions: [0] }], 1);
    }
    expect(read(bare)).toThrow(expect.objectContaining({ code: "side-missing" }));
    expect(read(held)().shape).toEqual([1, 24]);
    heads.thaw();
    await heads.freeze();
    expect(read(held)).toThrow(/begin a new sequence/);
    expect(read(held.clone())).toThrow(/begin a new sequence/);
    const again = new Sequence(model, 8, heads.sides);
    again.append(1);
    advance(model, [{ sequence: again, positions: [0] }], 1);
    expect(read(again)().shape).toEqual([1, 24]);
    expect(() => head.logits(again.hidden(0))).toThrow(expect.objectContaining({ code: "heads-block" }));
  });

  it("refuses the fill shared above an exit whose tokens it would never see, and nowhere else", async () => {
    const model = await smallModel({ config: smallConfigs["llama, shared keys and values"]!, device: wasm });
    const policyAt = (exits: number[], block: number): unknown => {
      const heads = attachHeads(model, { exits, map: "linear" });
      const own = attachHeads(model, { exits: [exits[block]!], map: "block" });
      const mixed = new ExitHeads(model, heads.heads.with(block, own.heads[0]!));
      return requirePolicyFor(mixed, createPolicy(mixed, "never", { fill: "shared" }));
    };
    await expect(policyAt([1, 2], 1)).rejects.toMatchObject({ code: "fill-shared" }); // blocks 3 and 4 read block 2's
    await policyAt([1, 2], 0);
    await policyAt([2, 3], 0);
    await expect(policyAt([2, 3], 1)).rejects.toThrow(/use lazy/);
  });

  it("cannot learn from a source that mixes the positions of windows", async () => {
    const heads = await makeHeads(given);
    const documents = Array.from({ length: 4 }, (_, i) => randomIds(12, VOCAB, i));
    const streamed = streamedBatches(heads.model, documents, DEPTHS, { sequenceLength: 12 });
    for (const use of [trainHeads, measureExits]) {
      await expect(use(heads, streamed, {})).rejects.toMatchObject({ code: "batch-windows" });
    }
  });
});

describe("in the ledger", () => {
  it("it costs keys and values at every position, and attention where it is evaluated", async () => {
    const heads = attachHeads(await smallModel(), { exits: DEPTHS, kind: "block" });
    const { model } = heads;
    const run = async (thresholds: readonly Threshold[], fill: FillName): Promise<LedgerReport> => {
      const policy = createPolicy(heads, thresholds, { fill });
      const generation = generate(heads, [1, 2, 3], { policy, maxNewTokens: 10, stopAtEndOfText: false });
      for await (const { prompt } of generation) expect(prompt).toBe(0);
      return generation.summary.ledger;
    };
    const ledger = await run([-1, "never", -1], "lazy"); // an entropy is never below 0
    const [first, , third] = heads.heads;
    const written = blockCacheBytes(model.config, "float32");
    const attended = 2 * [3, 4, 5, 6, 7, 8, 9, 10, 11, 12].reduce((sum, length) => sum + length, 0);
    const sum = (of: (head: ExitHead) => number): number => of(first!) + of(third!);
    const added: Partial<Record<CountName, number>> = {
      heads: 20,
      sideKeys: 20,
      attended,
      multiplyAdds: 10 * sum(({ multiplyAdds }) => multiplyAdds) + 2 * attended * 24,
      weightBytes: 10 * sum(({ work, block }) => work.bytes + block!.keysWork.bytes),
      keyValueBytesWritten: 20 * written,
      keyValueBytesRead: attended * written,
    };
    for (const name of Object.keys(ledger.plain) as CountName[]) {
      expect([name, ledger.decode[name] - ledger.plain[name]]).toEqual([name, added[name] ?? 0]);
    }
    expect(ledger.prefill.sideKeys).toBe(4); // two positions
    expect(sum(({ multiplyAdds }) => multiplyAdds)).toBe(2 * headCost(model.config, "block"));
    expect(headCost(model.config, "block")).toBe(
      24 * (2 * 24 + 2 * 12 + 2 * 24 + 3 * 40) + 24 * 61, // the map twice, keys and values, the block, the vocabulary
    );
    const left = await run(["always", "never", -1], "propagate");
    expect(left.decode.sideKeys).toBe(20); // for the deeper head, of the states that tokens left with
  });
});
