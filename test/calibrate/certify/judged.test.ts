/**
 * One loss for greedy and sampled text, against any way of storing the model: losses are what the definition says, runs
 * of policies and records agree on them, and certificates say for what they are.
 */
import { calibrate, generate, type Model, OptionError } from "early-exits";
import {
  calibrateRecords,
  type GroupedDocument,
  playPolicy,
  recordDocuments,
  runPolicies,
  verifyCertificate,
} from "early-exits/calibrate";
import { PolicyError } from "early-exits/exits";
import { LOSS_UNIT, totalVariation } from "../../../src/model/decode/total-variation.js";
import { processedDistribution, sameSampling } from "../../../src/model/decode/sampling.js";
import { answerDocument, type SamplingOptions } from "early-exits/model";
import { between, fc, test } from "../../support/property.js";
import { describe, expect, it } from "vitest";
import { tallyVectors } from "../../../src/calibrate/procedures/token-table.js";
import { hashDocument } from "../../../src/calibrate/record/documents.js";
import { tallyRuns } from "../../../src/calibrate/record/policy-runs.js";
import { tableOf } from "../../../src/calibrate/record/evidence.js";
import { memoryStore } from "../../support/memory-store.js";
import { sharedWasm } from "../../support/devices.js";
import { randomDocuments, randomIds, smallHeads } from "../../support/models.js";
import { sumOf, times } from "../../support/lists.js";
import { expectCode } from "../../support/expect-code.js";
import { resealed, verdictOf } from "../../support/verdict.js";

const sampling = { temperature: 0.8, topP: 0.9, minP: 0.01, repetitionPenalty: 1.3 } as const satisfies SamplingOptions;
const settings = { topK: 0, ...sampling };
const documents = times(24, (d) => randomIds(6 + (d % 9), 59, d));

const device = await sharedWasm();
const made = (dtype: "float32" | "int8") => smallHeads({ kind: "dense" }, { device, dtype, gain: 10 });
const heads = await made("float32");
const stored = await made("int8"); // the same checkpoint, its weights as int8
const full = heads.model;

describe("total variation", () => {
  const distribution = fc
    .array(between(0, 1000), { minLength: 6, maxLength: 6 })
    .filter((counts) => counts.some((count) => count > 0))
    .map((counts) => {
      const total = sumOf(counts);
      return Float64Array.from(counts, (count) => count / total);
    });

  test.prop([distribution, distribution, distribution])(
    "is a distance in whole units, 1 - Σ min(p, q) rounded up, and 0 only between equals",
    (p, q, r) => {
      const distance = totalVariation(p, q);
      const shared = sumOf(p, (value, i) => Math.min(value, q[i]!));
      expect(Number.isSafeInteger(distance)).toBe(true);
      expect(distance).toBe(totalVariation(q, p));
      expect(distance / LOSS_UNIT - (1 - shared)).toBeGreaterThan(-1e-12);
      expect(distance / LOSS_UNIT - (1 - shared)).toBeLessThan(1.001 / LOSS_UNIT);
      expect(distance === 0).toBe(p.every((value, i) => value === q[i]));
      expect(totalVariation(p, r)).toBeLessThanOrEqual(distance + totalVariation(q, r) + 1);
    },
  );

  it("of one-hot distributions is 1 if the argmax differs, which is the greedy loss", () => {
    const at = (i: number) => Float64Array.from({ length: 4 }, (_, k) => Number(k === i));
    expect(totalVariation(at(1), at(1))).toBe(0);
    expect(totalVariation(at(1), at(2))).toBe(LOSS_UNIT);
  });

  it("settings that mean the same are the same", () => {
    expect(sameSampling({}, { temperature: 0, topK: 5, topP: 0.3 })).toBe(true);
    expect(sameSampling({ temperature: 1 }, { temperature: 1, topP: 1 })).toBe(true);
    expect(sameSampling({ temperature: 1 }, { temperature: 1, topP: 0.99 })).toBe(false);
    expect(sameSampling({}, { repetitionPenalty: 1.1 })).toBe(false);
  });
});

describe("records", () => {
  it("hold the total variation after the processors, on the same prefix, at every exit and at full depth", async () => {
    const [document] = documents;
    const { vocabSize } = full.config;
    const {
      documents: [record],
    } = await recordDocuments(stored, [document!], { sampling, against: full });
    const right = await full.logits(document!);
    const own = await stored.model.logits(document!);
    const at = (logits: Float32Array, t: number) =>
      processedDistribution(logits.slice(t * vocabSize, (t + 1) * vocabSize), document!.slice(0, t + 1), settings);
    for (const t of document!.keys()) {
      expect(record!.deep![t]).toBe(totalVariation(at(right, t), at(own, t)));
    }
    expect(record!.deep!.some((loss) => loss > 0 && loss < LOSS_UNIT)).toBe(true);
    const states = stored.model.forward(document!, { toDepth: 1 }).get(1)!;
    const head = stored.heads[0]!;
    const logits = await head.allLogits(await head.logits(states));
    for (const t of document!.keys()) {
      expect(record!.exits[0]!.losses![t]).toBe(totalVariation(at(right, t), at(logits, t)));
    }
  });

  it.for([
    ["greedy", {}, false],
    ["greedy against float32", {}, true],
    ["sampled", sampling, false],
    ["sampled against float32", sampling, true],
    ["greedy with a penalty", { repetitionPenalty: 1.5 }, false],
  ] as const)("and runs of the decoder count the same losses: %s", async ([, chosen, other]) => {
    const options = { sampling: chosen, sequenceLength: 9, ...(other && { against: full }) };
    const subject = other ? stored : heads;
    const records = await recordDocuments(subject, documents, options);
    const thresholds = [
      ["never", "never"],
      [0.05, 0.05],
      ["never", "always"],
    ] as const;
    const candidates = { score: "maxProb", fill: "lazy", thresholds } as const;
    const runs = tallyRuns(await runPolicies(subject, documents, candidates, options));
    const vectors = thresholds.map((vector) =>
      vector.map((one) => (one === "never" ? Infinity : one === "always" ? -Infinity : one)),
    );
    const scale = "temperature" in chosen ? LOSS_UNIT : 1;
    const tally = tallyVectors(tableOf(records.documents, "maxProb", scale), vectors);
    expect(tally.left).toEqual(runs.left);
    // Bit for bit: kernels add in an order that does not depend on how many positions run together.
    expect(tally.wrong).toEqual(runs.wrong);
    expect(tally.deep).toEqual(runs.deep);
    expect(tally.deep.some((loss) => loss > 0)).toBe(other);
    expect(tally.wrong.some((loss) => loss > 0)).toBe(true);
  });

  it("survive a store, which keeps one record per judge", async () => {
    const store = memoryStore();
    const options = { sampling, against: full, store };
    const first = await recordDocuments(stored, documents.slice(0, 2), options);
    expect(await recordDocuments(stored, documents.slice(0, 2), options)).toEqual(first);
    expect(store.files.size).toBe(2);
    await recordDocuments(stored, documents.slice(0, 2), { store });
    expect(store.files.size).toBe(4);
  });

  it("refuse a reference with another vocabulary", async () => {
    const against = Object.create(full, { config: { value: { ...full.config, vocabSize: 7 } } }) as Model;
    await expectCode(recordDocuments(heads, documents, { against }), "reference-vocabulary");
  });
});

describe("certificates", () => {
  it("name the sampling settings, and the policy's measured agreement is 1 - E[TV]", async () => {
    const records = await recordDocuments(heads, documents, { sampling });
    const { policy, certificate } = await calibrateRecords(records, { agreement: 0.3, delta: 0.3, score: "entropy" });
    expect(policy.certified).toMatchObject({ sampling: settings, reference: { kind: "same", dtype: "float32" } });
    expect(policy.exits.some(({ threshold }) => threshold !== "never")).toBe(true);
    expect(certificate.measured.agreement).toBeGreaterThan(0.3);
    const { grid } = certificate.split;
    const tested = certificate.documents.slice(grid).map(({ hash }) => records.documents.find((d) => d.hash === hash)!);
    const outcome = playPolicy({ ...records, documents: tested }, policy);
    expect(certificate.measured.agreement).toBeCloseTo(outcome.agreement, 12);
    expect(generate(heads, [1, 2], { policy, ...sampling })).toBeDefined();
    expect(() => generate(heads, [1, 2], { policy })).toThrow(PolicyError);
  });

  it("against float32 cover quantisation and exits together; never exit is tested, not assumed", async () => {
    const certified = await calibrate(stored, documents, { agreement: 0.3, delta: 0.3, against: full });
    const { reference } = certified.policy.certified!;
    expect(reference).toEqual({ kind: "other", dtype: "float32", checkpoint: await full.hash() });
    expect(certified.policy.certified!.impossible).toBeUndefined();

    const impossible = await calibrate(stored, documents, { agreement: 0.999, delta: 0.05, against: full });
    expect(impossible.policy.certified!.impossible).toBe(true);
    expect(impossible.certificate.test!.candidates[0]!.thresholds).toEqual(["never", "never"]);
    await expectCode(() => generate(stored, [1, 2], { policy: impossible.policy }), "policy-impossible");
  });

  it("can be of quantisation alone", async () => {
    const { policy, certificate } = await calibrate(stored, documents, {
      agreement: 0.5,
      delta: 0.3,
      against: full,
      candidates: 0,
    });
    expect(policy.exits.every(({ threshold }) => threshold === "never")).toBe(true);
    expect(policy.certified!.impossible).toBeUndefined();
    expect(certificate.test!.accepted).toBe(1);
    expect(certificate.measured.coverage).toBe(0);
    expect(certificate.measured.agreement).toBeLessThan(1);
  });

  it("are verified with the reference: reproduced, or refuted where counts are invented", async () => {
    for (const chosen of [{}, { repetitionPenalty: 1.5 }, sampling]) {
      const options = { agreement: 0.3, delta: 0.3, against: full, sampling: chosen, candidates: 4 };
      const { certificate } = await calibrate(stored, documents, options);
      const given = { heads: stored, documents };
      expect(await verdictOf(certificate)).toBe("arithmetic consistent");
      expect((await verifyCertificate(certificate, given)).sentence).toMatch(
        /tokens are another model's.*only that model.* can show/,
      );
      expect(await verifyCertificate(certificate, { ...given, against: full })).toMatchObject({
        verdict: "reproduced",
        reasons: [],
      });
      const wrongModel = await verifyCertificate(certificate, { ...given, against: stored.model });
      expect(wrongModel.reasons[0]).toMatch(/not the checkpoint as float32/);

      const { deep } = certificate.accepted;
      const accepted = { ...certificate.accepted, deep: deep.with(0, deep[0]! + 1) };
      expect(await verdictOf(await resealed(certificate, { accepted }))).toBe("refuted");
    }
  });

  it.for([
    ["greedy", {}, false],
    ["sampled against float32", sampling, true],
  ] as const)("can be about text that the policy writes itself, and reproduced: %s", async ([, chosen, other]) => {
    const subject = other ? stored : heads;
    const against = other ? { against: full } : {};
    const prompts = randomDocuments(10, 5, 100, 59);
    const ownText = { prompts, maxNewTokens: 6, seed: 3 };
    const options = { agreement: 0.3, delta: 0.4, sampling: chosen, ...against, ownText, candidates: 3 };
    const { policy, certificate } = await calibrate(subject, documents, options);
    expect(certificate.assumptions).toContain("own-text");
    expect(certificate.documents).toHaveLength(10);
    const given = { heads: subject, documents: prompts, ...against };
    expect(await verifyCertificate(certificate, given)).toMatchObject({ verdict: "counts reproduced", reasons: [] });
    expect(await verdictOf(certificate, { ...given, documents })).toBe("refuted");

    // The loss is what records show on the texts that `generate` writes.
    const tested = certificate.documents.slice(certificate.split.grid).map(({ hash }) => hash);
    const hashes = await Promise.all(prompts.map((ids) => hashDocument(ids)));
    const settings = { ...chosen, policy, maxNewTokens: 6 };
    const written: GroupedDocument[] = [];
    for (const [p, prompt] of prompts.entries()) {
      if (!tested.includes(hashes[p]!)) continue;
      const ids = [...prompt];
      for await (const { id } of generate(subject, prompt, { ...settings, seed: 3 + p })) ids.push(id);
      written.push({ ids: ids.slice(0, -1), from: prompt.length - 1 });
    }
    const records = await recordDocuments(subject, written, { sampling: chosen, ...against });
    expect(playPolicy(records, policy).documentAgreement).toBeCloseTo(certificate.measured.documentAgreement, 9);
    const positions = sumOf(records.documents, (document) => document.positions);
    expect(certificate.measured.positions).toBe(positions);
    if (other) return;
    expect(positions).toBeLessThan(6 * written.length); // some texts end before
    const longer = { ...certificate.accepted, written: certificate.accepted.written!.map(() => 6) };
    expect(await verdictOf(await resealed(certificate, { accepted: longer }))).toBe("refuted");
  });

  it("keep groups, follow the whole prompt before an answer, and refuse groups on both sides", async () => {
    const begin = randomIds(5, 59, 7); // all begin alike
    const prompts = times(12, (d) => [...begin, ...randomIds(3 + (d % 3), 59, 100 + d)]);
    const grouped = prompts.map((ids, d) => ({ ids, group: `user ${d % 4}` }));
    const answered = grouped.map(({ ids, group }, d) => answerDocument(ids, randomIds(5, 59, 200 + d), group));
    const options = { agreement: 0.3, delta: 0.4, candidates: 2 };
    const [after, whole] = await Promise.all(
      [answered, grouped].map((given) => calibrate(heads, documents, { ...options, ownText: { prompts: given } })),
    );
    expect(after).toEqual(whole);
    const { certificate } = after!;
    expect([certificate.unit, new Set(certificate.documents.map(({ group }) => group)).size]).toEqual(["group", 4]);
    const verified = await verifyCertificate(certificate, { heads, documents: answered });
    expect(verified).toMatchObject({ verdict: "counts reproduced", reasons: [] });
    const onDocument = () => expect.unreachable("nothing runs before groups are looked at");
    for (const [code, proposing, testing, unit] of [
      ["groups-shared", grouped, grouped, undefined],
      ["groups-shared", answered.map(({ ids, from }) => ({ ids, from })), prompts, undefined],
      ["documents-ungrouped", documents, grouped, "group"],
      ["documents-ungrouped", grouped, documents, "group"],
    ] as const) {
      const asked = { ...options, ...(unit && { unit }), ownText: { prompts: testing }, onDocument };
      await expectCode(calibrate(heads, proposing, asked), code);
    }
  });

  it("say that nothing was certified, and cannot hide it", async () => {
    const { certificate } = await calibrate(stored, documents, { agreement: 0.999, against: full });
    expect(await verdictOf(certificate)).toBe("arithmetic consistent");
    const { policy } = certificate;
    expect(policy.certified!.impossible).toBe(true);
    const hidden = { ...policy, certified: { ...policy.certified, impossible: undefined } };
    expect(await verdictOf(await resealed(certificate, { policy: hidden }))).toBe("refuted");
  });

  it("are refused where the loss does not fit the text", async () => {
    const sampled = await recordDocuments(heads, documents, { sampling });
    const refused = (options: Parameters<typeof calibrateRecords>[1]) =>
      expect(calibrateRecords(sampled, options)).rejects.toThrow(OptionError);
    await refused({ loss: "anyChange" });
    await refused({ candidates: 0 });
  });
});
