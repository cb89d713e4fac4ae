/**
 * Audits while text is generated, and the promise in the summary: the audited loss is the one that records show on the
 * same text, the alarm turns exits off, and certificates for other settings are refused.
 */
import {
  attachHeads,
  createPolicy,
  type ExitHeads,
  generate,
  generateBatch,
  type GenerateOptions,
  OptionError,
  type Policy,
} from "early-exits";
import { Audit, type AuditState, type CertifiedFor, PolicyError } from "early-exits/exits";
import { playPolicy, recordDocuments } from "early-exits/calibrate";
import { canonicalSampling, type SamplingOptions } from "early-exits/model";
import { beforeAll, describe, expect, it } from "vitest";
import { randomIds, smallModel } from "../../support/models.js";

let heads: ExitHeads;
let checkpoint: string;
beforeAll(async () => {
  const model = await smallModel({ gain: 4 });
  heads = attachHeads(model, { exits: [1, 2], kind: "dense", seed: 1 });
  await heads.ready();
  await heads.freeze();
  checkpoint = await model.hash();
});

/** A policy with a certificate that is made up. */
function certified(sampling: SamplingOptions, more: Partial<CertifiedFor> = {}, share = 0.04): Policy {
  const policy = createPolicy(heads, [share, share], { score: "maxProb" });
  return {
    ...policy,
    certified: {
      sampling: canonicalSampling(sampling),
      reference: { kind: "same", dtype: "float32", checkpoint },
      claim: "overall",
      agreement: 0.95,
      score: policy.score,
      thresholds: policy.exits.map(({ threshold }) => threshold),
      fill: policy.fill,
      dtype: "float32",
      ...more,
    },
  };
}

const prompts = Array.from({ length: 6 }, (_, i) => randomIds(4 + i, 59, i));
const sampled = { temperature: 0.9, topP: 0.9, repetitionPenalty: 1.2 } as const satisfies SamplingOptions;

async function textsOf(options: GenerateOptions & { batchSize?: number }) {
  const run = generateBatch(heads, prompts, { maxNewTokens: 40, stopAtEndOfText: false, ...options });
  const ids = prompts.map((prompt) => [...prompt]);
  for await (const { id, prompt } of run) ids[prompt]!.push(id);
  return { run, ids };
}

describe("an audit", () => {
  it.for([["greedy", {}] as const, ["sampled", sampled] as const])(
    "of %s text finds the loss that records of the same texts show, whatever the batch",
    async ([, sampling]) => {
      const policy = certified(sampling);
      const audits: AuditState[] = [];
      for (const batchSize of [1, 6]) {
        const audit = new Audit({ onAlarm: "continue" });
        const { ids } = await textsOf({ policy, audit, ...sampling, batchSize });
        const records = await recordDocuments(
          heads,
          ids.map((text) => text.slice(0, -1)),
          { sampling },
        );
        const losses = records.documents.map((document, d) => {
          const from = prompts[d]!.length - 1;
          const cut = {
            ...document,
            positions: document.positions - from,
            exits: document.exits.map(({ stats, agrees, losses: own }) => ({
              stats: stats.slice(5 * from),
              agrees: agrees.slice(from),
              ...(own && { losses: own.slice(from) }),
            })),
          };
          return 1 - playPolicy({ ...records, documents: [cut] }, policy).agreement;
        });
        const { state, report } = audit;
        expect(state.texts).toBe(6);
        expect(state.tokens).toBe(6 * 40);
        // The reference reads in batches here and in whole windows there: float32 sums differ in their last bits.
        expect(state.lossSum).toBeCloseTo(
          losses.reduce((sum, loss) => sum + loss, 0),
          3,
        );
        expect(report.meanLoss).toBeGreaterThan(0.01);
        audits.push(state);
      }
      expect(audits[1]).toEqual(audits[0]);
    },
  );

  it("judges about one of k texts, by seed and number; a stored state goes on with the next number", async () => {
    const chosen = (seed: number, parts: readonly number[]): boolean[] => {
      let audit = new Audit({ every: 4, seed });
      return parts.flatMap((count) => {
        const tickets = audit.begin(new Array<undefined>(count).fill(undefined));
        audit = new Audit({ state: JSON.parse(JSON.stringify(audit.state)) as AuditState });
        return tickets.map((ticket) => ticket !== undefined);
      });
    };
    const all = chosen(1, [4000]);
    const count = all.filter(Boolean).length;
    expect(Math.abs(count - 1000)).toBeLessThan(4 * Math.sqrt(4000 * 0.25 * 0.75));
    expect(chosen(1, [1, 999, 3000])).toEqual(all);
    expect(chosen(2, [4000])).not.toEqual(all);

    const policy = certified({});
    const { run } = await textsOf({ policy, audit: 2, seed: 3 });
    expect(run.audit!.state.requests).toBe(6);
    expect(run.audit!.state.texts).toBe(run.audit!.report.units);
    expect(run.audit!.report.units).toBeLessThan(6);
  });

  it("counts one user's texts as one unit, once", async () => {
    const policy = certified({});
    const audit = new Audit({ onAlarm: "continue" });
    const user = ["a", "a", "b", "a", "b", "c"];
    await textsOf({ policy, audit, user });
    expect(audit.state).toMatchObject({ texts: 6, users: ["a", "b", "c"], alarm: { units: 3 } });
    await textsOf({ policy, audit, user: "b" });
    expect(audit.state).toMatchObject({ requests: 12, texts: 6, alarm: { units: 3 } });
  });

  it("counts units in the order of their requests, whichever ends first", () => {
    const orders = [
      [0, 1, 2],
      [2, 1, 0],
    ].map((order) => {
      const audit = new Audit({ onAlarm: "continue" });
      const tickets = audit.begin([undefined, undefined, undefined]);
      for (const i of order) tickets[i]!.finish([0.9, 0, 0.1][i]!, 1);
      return audit.state;
    });
    expect(orders[1]).toEqual(orders[0]);
  });

  it("rings if the promise is broken, and turns exits off, unless the caller decides otherwise", async () => {
    const policy = certified({}, { agreement: 0.999 }, 0.02); // nearly every token leaves
    const off = new Audit({ agreement: 0.999 });
    const { run } = await textsOf({ policy, audit: off, batchSize: 1 });
    expect(off.state.alarm.raised).toBe(true);
    expect(run.promise).toEqual({ kind: "none", reason: "alarm" });
    const { ids } = await textsOf({ policy, audit: off });
    expect(ids).toEqual((await textsOf({})).ids); // the full model's

    const reports: number[] = [];
    const on = new Audit({
      agreement: 0.999,
      onAlarm: ({ evidence }) => {
        reports.push(evidence);
        return "continue";
      },
    });
    expect((await textsOf({ policy, audit: on })).ids).toEqual((await textsOf({ policy })).ids);
    expect(reports).toHaveLength(1);
    expect(reports[0]).toBeGreaterThanOrEqual(20);
  });

  it("leaves out texts that are cancelled, and does not wait for them", async () => {
    const policy = certified({});
    const audit = new Audit({ onAlarm: "continue" });
    for await (const token of generate(heads, prompts[0]!, { policy, audit, maxNewTokens: 40 })) {
      if (token.prompt === 0) break;
    }
    expect(audit.state).toMatchObject({ requests: 1, texts: 0 });
    const { run } = await textsOf({ policy, audit });
    expect(run.audit!.state.texts).toBe(6);
  });

  it("needs a certificate about all tokens, something to judge, and the reference of the certificate", async () => {
    const uncertified = createPolicy(heads, "always");
    expect(() => generate(heads, [1], { policy: uncertified, audit: 2 })).toThrow(
      expect.objectContaining({ code: "audit-certificate" }),
    );
    expect(() => generate(heads, [1], { audit: 2 })).toThrow(expect.objectContaining({ code: "audit-policy" }));
    expect(() => generate(heads, [1], { policy: certified({}), lossless: true, audit: 2 })).toThrow(OptionError);
    const other = certified({}, { reference: { kind: "other", dtype: "float32", checkpoint: "0".repeat(64) } });
    expect(() => generate(heads, [1], { policy: other, audit: 2 })).toThrow(
      expect.objectContaining({ code: "audit-reference" }),
    );
    const wrong = new Audit({ reference: heads.model });
    await expect(textsOf({ policy: other, audit: wrong })).rejects.toThrow(/another checkpoint/);
    expect(() => new Audit({ state: {} as AuditState })).toThrow(expect.objectContaining({ code: "audit-state" }));
  });
});

describe("the promise", () => {
  const promiseOf = async (options: GenerateOptions) => {
    const run = generate(heads, prompts[0]!, { maxNewTokens: 2, ...options });
    for await (const token of run) expect(token.prompt).toBe(0);
    return run.summary.promise;
  };

  it("is the certificate's for the sampling settings that it is for, and refused for others", async () => {
    const greedy = certified({});
    const warm = certified(sampled);
    expect(await promiseOf({ policy: greedy, topP: 0.5 })).toMatchObject({ kind: "certified", agreement: 0.95 });
    expect(await promiseOf({ policy: warm, ...sampled })).toMatchObject({ kind: "certified" });
    expect(() => generate(heads, [1], { policy: greedy, temperature: 1 })).toThrow(PolicyError);
    expect(() => generate(heads, [1], { policy: greedy, temperature: 0.8, topP: 0.95 })).toThrow(
      /early-exits calibrate --temperature 0.8 --top-p 0.95.*allowUncertified/,
    );
    expect(() => generate(heads, [1], { policy: warm })).toThrow(/greedy/);
    expect(() => generate(heads, [1], { policy: warm, ...sampled, topP: 0.91 })).toThrow(PolicyError);
  });

  it("is none without a certificate for it, if an observer sets thresholds, or if none can be", async () => {
    const policy = certified({});
    const none = (reason: string) => ({ kind: "none", reason });
    expect(await promiseOf({ policy, temperature: 1, allowUncertified: true })).toEqual(none("sampling"));
    expect(await promiseOf({ policy: createPolicy(heads, "never") })).toEqual(none("uncertified"));
    const observe = (): void => undefined;
    expect(await promiseOf({ policy, observer: { observe } })).toMatchObject({ kind: "certified" });
    expect(await promiseOf({ policy, observer: { observe, thresholds: () => [0.9, 0.9] } })).toEqual(none("observer"));
    const impossible = certified({}, { impossible: true });
    expect(() => generate(heads, [1], { policy: impossible })).toThrow(/not even to run all blocks/);
    expect(await promiseOf({ policy: impossible, allowUncertified: true })).toEqual(none("impossible"));
  });

  it("is the full model itself without exits, and in lossless decoding, which is never refused", async () => {
    expect(await promiseOf({})).toEqual({ kind: "plain" });
    expect(await promiseOf({ policy: certified({}), lossless: true, temperature: 1 })).toEqual({ kind: "lossless" });
  });
});
