/**
 * A preview of the unembedding in what is certified: its misses count as disagreement, its threshold is one of the
 * policy's, the independent check accepts an exit at depth L, and refuses the certificate once the preview is another.
 */
import { attachHeads, calibrate, generate, verifyCertificate } from "early-exits";
import { recordDocuments, runPolicies } from "early-exits/calibrate";
import { fitPreviews } from "early-exits/exits";
import { expect, it } from "vitest";
import { noteLines } from "../../apps/cli/calibration-lines.js";
import { devicesHere } from "../support/devices.js";
import { giveProjections, randomDocuments, smallModel } from "../support/models.js";
import { sumOf } from "../support/lists.js";
import { expectCode } from "../support/expect-code.js";

const documents = randomDocuments(90, 16);
const L = 4;
const { wasm: device } = await devicesHere();
const model = await smallModel({ device, gain: 4 });

/** A preview so coarse that it misses a share of the tokens. */
async function previewed(rank = 5) {
  const made = attachHeads(model, { exits: [2], kind: "linear", unembeddingPreview: { rank, candidates: 3 } });
  await fitPreviews(made, documents.slice(0, 8), { sequenceLength: 16 });
  await giveProjections(made);
  return made;
}

const heads = await previewed();

it("counts as disagreement what the preview misses, on records and as it runs", async () => {
  const records = await recordDocuments(heads, documents.slice(0, 5));
  const full = await Promise.all(documents.slice(0, 5).map((ids) => model.logits(ids)));
  const missed = sumOf(records.documents, ({ exits }) => exits[1]!.agrees.filter((one) => one === 0).length);
  let wrong = 0;
  for (const [d, ids] of documents.slice(0, 5).entries()) {
    const head = heads.heads[1]!;
    const logits = await head.logits(model.forward(ids, { toDepth: L }).get(L)!);
    for (const [t, { argmax }] of (await head.confidences(logits)).entries()) {
      const row = full[d]!.subarray(t * 61, (t + 1) * 61);
      wrong += Number(row.some((value) => value > row[argmax]!));
    }
  }
  expect(wrong).toBeGreaterThan(0);
  expect(missed).toBe(wrong);
  const runs = await runPolicies(heads, documents.slice(0, 5), {
    score: "margin",
    fill: "project",
    thresholds: [["never", "always"]],
  });
  const counts = runs.documents.map((document) => document.counts);
  expect(sumOf(counts, (each) => each.wrong[1]!)).toBe(wrong);
  expect(sumOf(counts, (each) => each.left[1]!)).toBe(5 * 16);
  expect(counts.every(({ deep, left }) => deep[0] === 0 && left[0] === 0)).toBe(true);
});

it.each(["lazy", "project"] as const)("is certified, checked and decoded: fill %s", async (fill) => {
  // An unembedding that is dear, and a first head that never pays: its threshold leaves it out.
  const costs = {
    block: [{ rows: 1, cost: 1 }],
    finalHead: [{ rows: 1, cost: 20 }],
    heads: [40, 1],
    fills: [2, 0].map((blocks) => ({ blocks, cost: 0 })),
  };
  const options = { agreement: 0.6, delta: 0.2, fill, costs };
  const { policy, certificate, notes } = await calibrate(heads, documents, options);
  expect(notes.tokenTimes!.plain).toBe(L * 1 + 20);
  expect(notes.tokenTimes!.policy).toBeLessThan(L * 1 + 20);
  expect(noteLines(notes, certificate).join()).toMatch(
    /expected speed: [1-9]\.\d\dx, [\d.]+ ms a token in place of 24\.00/,
  );
  expect(policy.exits.map(({ depth }) => depth)).toEqual([2, L]);
  expect(policy.exits[0]!.threshold).toBe("never");
  expect(policy.exits[1]!.threshold).not.toBe("never");
  expect(await verifyCertificate(certificate)).toMatchObject({ verdict: "arithmetic consistent" });
  const checked = await verifyCertificate(certificate, { heads, documents });
  expect(checked).toMatchObject({ verdict: "reproduced", reasons: [] });
  const exits = new Set<number | undefined>();
  for (let i = 0; i < 4; i++) {
    const run = generate(heads, documents[i]!, { policy, maxNewTokens: 8, stopAtEndOfText: false });
    for await (const { exit, depth } of run) {
      if (depth === L) exits.add(exit);
    }
  }
  expect(exits).toContain(1);

  const other = await previewed(6);
  const refuted = await verifyCertificate(certificate, { heads: other });
  expect(refuted.verdict).toBe("refuted");
  expect(refuted.reasons.join()).toMatch(/heads/);
  const decode = generate(other, [1, 2], { policy, maxNewTokens: 2 })[Symbol.asyncIterator]();
  await expectCode(decode.next(), "policy-heads");
  other.dispose();
});
