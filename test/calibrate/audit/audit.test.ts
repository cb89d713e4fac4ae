/**
 * Audits of texts that a policy has written: the loss of a text is the one that records and a full pass show on it,
 * texts are chosen by number and counted in order, and the alarm rings where a promise is broken.
 */
import { createPolicy, generateBatch, type GenerateOptions } from "early-exits";
import { Audit, type AuditState, type FinishedText, playPolicy, recordDocuments } from "early-exits/calibrate";
import { type SamplingOptions } from "early-exits/model";
import { expect, it } from "vitest";
import { certifiedPolicy } from "../../support/certified.js";
import { sharedWasm } from "../../support/devices.js";
import { randomIds, smallHeads } from "../../support/models.js";
import { times } from "../../support/lists.js";
import { expectCode, failing } from "../../support/expect-code.js";

const heads = await smallHeads({ exits: [1, 2], kind: "dense" }, { device: await sharedWasm(), gain: 4 });

const prompts = times(6, (i) => randomIds(4 + i, 59, i));
const sampled = { temperature: 0.9, topP: 0.9, repetitionPenalty: 1.2 } as const satisfies SamplingOptions;

async function textsOf(options: GenerateOptions) {
  const run = generateBatch(heads, prompts, { maxNewTokens: 40, stopAtEndOfText: false, ...options });
  for await (const { id } of run) expect(id).toBeGreaterThan(-1);
  return run.summaries.map(({ ids }, i) => ({ promptIds: prompts[i]!, ids }));
}

async function readAll(audit: Audit, texts: readonly FinishedText[]) {
  return Promise.all(texts.map((text) => audit.read(text)));
}

it.for([["greedy", {}] as const, ["sampled", sampled] as const])(
  "of %s text finds the loss that records of the same texts show",
  async ([, sampling]) => {
    const policy = await certifiedPolicy(heads, sampling);
    const texts = await textsOf({ policy, ...sampling });
    const audit = new Audit(heads, policy);
    const losses = await readAll(audit, texts);
    const documents = texts.map(({ promptIds, ids }) => ({
      ids: [...promptIds, ...ids.slice(0, -1)],
      from: promptIds.length - 1,
    }));
    const records = await recordDocuments(heads, documents, { sampling });
    for (const [d, document] of records.documents.entries()) {
      expect(losses[d]).toBe(1 - playPolicy({ ...records, documents: [document] }, policy).agreement);
    }
    expect(audit.state).toMatchObject({ requests: 6, tokens: 6 * 40, alarm: { units: 6 } });
    expect(audit.report.meanLoss).toBeGreaterThan(0.01);
    expect(audit.report.meanLoss).toBe(losses.reduce<number>((sum, loss) => sum + loss!, 0) / 6);
  },
);

it("reads about one of k texts, by seed and number; a stored state goes on with the next number", async () => {
  const policy = await certifiedPolicy(heads, {});
  const [text] = await textsOf({ policy, maxNewTokens: 1 });
  const chosen = async (seed: number, parts: readonly number[]) => {
    let audit = new Audit(heads, policy, { every: 4, seed });
    const read: boolean[] = [];
    for (const count of parts) {
      const texts = times(count, (i) => ({ ...text!, user: `${read.length + i}` }));
      const losses = await readAll(audit, texts);
      read.push(...losses.map((loss) => loss !== undefined));
      audit = new Audit(heads, policy, { state: JSON.parse(JSON.stringify(audit.state)) as AuditState });
    }
    return read;
  };
  const all = await chosen(1, [400]);
  const count = all.filter(Boolean).length;
  expect(Math.abs(count - 100)).toBeLessThan(4 * Math.sqrt(400 * 0.25 * 0.75));
  expect(await chosen(1, [1, 99, 300])).toEqual(all);
  expect(await chosen(2, [400])).not.toEqual(all);
});

it("counts one text of a user, or after a prompt, and leaves out texts that were given up or are empty", async () => {
  const policy = await certifiedPolicy(heads, {});
  const texts = await textsOf({ policy });
  const audit = new Audit(heads, policy);
  const users = ["a", "a", "b", "a", "b", undefined];
  const losses = await readAll(
    audit,
    texts.map((text, i) => ({ ...text, user: users[i] })),
  );
  expect(losses.map((loss) => loss !== undefined)).toEqual([true, false, true, false, false, true]);
  expect(await audit.read({ ...texts[2]!, user: "b" })).toBeUndefined();
  expect(await audit.read(texts[5]!)).toBeUndefined(); // the sixth prompt again
  expect(await audit.read(() => Promise.resolve(undefined))).toBeUndefined();
  expect(await audit.read({ promptIds: [1], ids: [] })).toBeUndefined();
  expect(audit.state).toMatchObject({ requests: 10, alarm: { units: 3 } });
  expect(audit.state.users).toEqual(["a", "b", expect.stringMatching(/^prompt \d+$/)]);
});

it("counts texts in the order of the calls, whichever is finished first", async () => {
  const policy = await certifiedPolicy(heads, {});
  const texts = await textsOf({ policy });
  const inOrder = new Audit(heads, policy);
  await readAll(inOrder, texts);
  const reversed = new Audit(heads, policy);
  const finish: ((text: FinishedText) => void)[] = [];
  const written = texts.map(() => new Promise<FinishedText>((resolve) => finish.push(resolve)));
  const reads = written.map((text) => reversed.read(() => text));
  for (const [i, text] of [...texts.entries()].reverse()) finish[i]!(text);
  await Promise.all(reads);
  await reversed.settled();
  expect(reversed.state).toEqual(inOrder.state);
});

it("rings if the promise is broken, and a text that cannot be judged stops none of the others", async () => {
  const policy = await certifiedPolicy(heads, {}, { agreement: 0.999, threshold: 0.02 }); // nearly every token leaves
  const texts = await textsOf({ policy });
  const audit = new Audit(heads, policy);
  const broken = audit.read({ promptIds: [1], ids: [1, 9999, 1] });
  const losses = readAll(audit, texts);
  await expect(broken).rejects.toMatchObject({ name: "TokenError" });
  expect((await losses).every((loss) => loss! > 0.001)).toBe(true);
  expect(audit.report).toMatchObject({ units: 6, raised: true });
  expect(audit.report.evidence).toBeGreaterThanOrEqual(20);
  expect(new Audit(heads, policy, { state: audit.state }).report.raised).toBe(true);
});

it("needs a certificate about all tokens or an agreement, and the reference of the certificate", async () => {
  const uncertified = createPolicy(heads, "always");
  await expectCode(() => new Audit(heads, uncertified), "audit-certificate");
  const [text] = await textsOf({ policy: uncertified });
  expect(await new Audit(heads, uncertified, { agreement: 0.9 }).read(text!)).toBeGreaterThan(0);
  const other = await certifiedPolicy(
    heads,
    {},
    { reference: { kind: "other", dtype: "float32", checkpoint: "0".repeat(64) } },
  );
  await expectCode(() => new Audit(heads, other), "audit-reference");
  await expect(new Audit(heads, other, { against: heads.model }).read(text!)).rejects.toThrow(/another checkpoint/);
  const policy = await certifiedPolicy(heads, {});
  const { state } = new Audit(heads, policy);
  const damaged = [{}, null, { ...state, alarm: {} }, { ...state, every: 0 }, { ...state, lossSum: "1" }];
  for (const one of [...damaged, { ...state, alarm: { ...state.alarm, wealth: [1] } }, { ...state, users: [1] }]) {
    const open = () => new Audit(heads, policy, { state: one as unknown as AuditState });
    expect(open, JSON.stringify(one)).toThrow(failing("audit-state"));
  }
});
