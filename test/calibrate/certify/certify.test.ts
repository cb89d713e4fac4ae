/**
 * Certified calibration end to end: claims, the split of the documents, refusals, and the agreement of streaming,
 * records and runs.
 */
import { fc, test } from "@fast-check/vitest";
import {
  attachHeads,
  calibrate,
  type Certificate,
  createPolicy,
  type ExitHeads,
  generate,
  OptionError,
  type Policy,
} from "early-exits";
import { createReferenceDevice, createRng } from "early-exits/tensor";
import { Sequence } from "early-exits/model";
import { type Threshold, withFill, type CacheStore } from "early-exits/exits";
import {
  calibrateRecords,
  calibrateRuns,
  type CalibrationRecords,
  playPolicy,
  recordDocuments,
  runPolicies,
} from "early-exits/calibrate";
import { beforeAll, describe, expect, it } from "vitest";
import { earlyExitDecoder } from "../../../src/exits/decode/decode.js";
import { tableOf } from "../../../src/calibrate/record/table-of.js";
import { tallyRuns } from "../../../src/calibrate/record/policy-runs.js";
import { tallyVectors } from "../../../src/calibrate/procedures/token-table.js";
import { createSampler } from "../../../src/model/decode/decoder.js";
import { randomIds, smallModel } from "../../support/models.js";
import { handmadeRecords } from "../../support/records.js";

const exits = ({ exits: list }: Policy): Threshold[] => list.map(({ threshold }) => threshold);

describe("calibrateRecords", () => {
  const records = handmadeRecords(200);

  it("certifies an overall agreement per document by default, and the policy keeps it on other documents", async () => {
    const { policy, certificate } = await calibrateRecords(records, { agreement: 0.9 });
    expect(certificate).toMatchObject({
      claim: "overall",
      unit: "document",
      procedure: "fixedSequence",
      bound: "wsr",
      promise: "probability",
      agreement: 0.9,
      delta: 0.05,
      furtherUnits: 0,
      split: { seed: 0, grid: 80 },
    });
    expect(certificate.policy).toEqual(policy);
    expect(policy.certified).toMatchObject({
      claim: "overall",
      fill: "lazy",
      dtype: "float32",
      thresholds: exits(policy),
    });
    const { chosen, candidates, accepted } = certificate.tests[0]!;
    expect(accepted).toContain(chosen);
    expect(candidates[chosen as number]!.pValue).toBeLessThanOrEqual(0.05);
    const fresh = playPolicy(handmadeRecords(2000, { seed: 2 }), policy);
    expect(fresh.documentAgreement).toBeGreaterThanOrEqual(0.9);
    expect(fresh.coverage).toBeGreaterThan(0.4);
  });

  it("measures on the test documents alone, not on the grid split", async () => {
    const { policy, certificate } = await calibrateRecords(records, { agreement: 0.9, score: "margin", seed: 7 });
    const { documents, split, measured } = certificate;
    expect(documents.length - split.grid).toBe(measured.documents);
    const tested = documents
      .slice(split.grid)
      .map(({ hash }) => records.documents.find((document) => document.hash === hash)!);
    const played = playPolicy({ ...records, documents: tested }, policy);
    expect(played.documentAgreement).toBeCloseTo(measured.documentAgreement, 12);
    expect({ ...played, documentAgreement: measured.documentAgreement }).toEqual(measured);
    expect(certificate.accepted.losses.reduce((sum, loss) => sum + loss / 120, 0)).toBeCloseTo(
      1 - measured.documentAgreement,
      12,
    );
  });

  it("depends on the records and the seed, not on the order of the documents", async () => {
    const shuffled = { ...records, documents: createRng(3).shuffle(records.documents) };
    const [a, b, c] = await Promise.all([
      calibrateRecords(records, { seed: 4 }),
      calibrateRecords(shuffled, { seed: 4 }),
      calibrateRecords(records, { seed: 5 }),
    ]);
    expect(b).toEqual(a);
    expect(c.certificate.documents).not.toEqual(a.certificate.documents);
    expect(JSON.parse(JSON.stringify(a))).toEqual(a);
  });

  it("every claim, unit, procedure and score gives a policy that leaves early", async () => {
    const all = [
      { claim: "overall", procedure: "bonferroni" },
      { claim: "overall", bound: "hoeffdingBentkus" },
      { claim: "overall", procedure: "crc" },
      { claim: "selective" },
      { claim: "selective", unit: "token" },
      { claim: "selective", procedure: "byExit", unit: "token" },
      { claim: "anyChange", agreement: 0.5 },
      { score: "entropy" },
      { score: "margin" },
      { score: "maxProb" },
      { score: "probGap" },
    ] as const;
    const many = handmadeRecords(500);
    for (const options of all) {
      const { policy, certificate } = await calibrateRecords(many, { agreement: 0.85, ...options });
      expect(
        exits(policy).some((threshold) => threshold !== "never"),
        JSON.stringify(options),
      ).toBe(true);
      expect(certificate.promise).toBe(
        "procedure" in options && options.procedure === "crc" ? "expectation" : "probability",
      );
      if ("score" in options) expect(policy.score).toBe(options.score);
    }
  });

  it("chooses the score with the lowest expected cost on the grid split", async () => {
    // Meaningless margins: only entropies are informative.
    const rng = createRng(9);
    const documents = records.documents.map((document) => ({
      ...document,
      exits: document.exits.map(({ stats, agrees }) => ({
        agrees,
        stats: stats.map((value, i) => (i % 5 === 1 ? 1 + rng.uniform() : value)),
      })),
    }));
    expect((await calibrateRecords({ ...records, documents }, { agreement: 0.9 })).policy.score).toBe("entropy");
  });

  it("leaves out an exit whose head is not worth its cost", async () => {
    const { policy } = await calibrateRecords(
      { ...records, ledger: { ...records.ledger, heads: [400, 20] } },
      { agreement: 0.9 },
    );
    expect(exits(policy)[0]).toBe("never");
    expect(exits(policy)[1]).not.toBe("never");
  });

  it("never exits if nothing can be certified, and estimates how many more documents are needed", async () => {
    const few = await calibrateRecords(handmadeRecords(12), { agreement: 0.95 });
    expect(exits(few.policy)).toEqual(["never", "never"]);
    expect(few.certificate.furtherUnits).toBeGreaterThan(10);
    expect(few.certificate.measured).toMatchObject({ agreement: 1, coverage: 0, meanDepth: 6 });
    const hopeless = await calibrateRecords(handmadeRecords(100, { error: 40 }), { agreement: 0.95 });
    expect(exits(hopeless.policy)).toEqual(["never", "never"]);
    expect((await calibrateRecords(handmadeRecords(2), { agreement: 0.5 })).certificate.accepted.losses).toEqual([0]);
  });

  it("lets almost no token leave if all are wrong, and almost all if all are right", async () => {
    const all = (agree: 0 | 1): CalibrationRecords => ({
      ...records,
      documents: records.documents.map((document) => ({
        ...document,
        exits: document.exits.map(({ stats, agrees }) => ({ stats, agrees: agrees.map(() => agree) })),
      })),
    });
    for (const options of [
      {},
      { claim: "selective" },
      { claim: "selective", unit: "token" },
      { claim: "anyChange" },
      { procedure: "crc" },
    ] as const) {
      // The overall claim allows a share of all tokens to be wrong, so a few leave; the other claims allow none.
      const { certificate: wrong } = await calibrateRecords(all(0), options);
      expect(wrong.measured.coverage).toBeLessThanOrEqual("claim" in options ? 0 : 0.05);
      const { policy, certificate } = await calibrateRecords(all(1), options);
      expect(certificate.measured.coverage).toBeGreaterThan(0.95);
      expect(playPolicy(all(1), policy).agreement).toBe(1);
    }
  });

  it("refuses options and records that make no sense", async () => {
    const refused = async (options: Parameters<typeof calibrateRecords>[1], from = records): Promise<void> => {
      await expect(calibrateRecords(from, options), JSON.stringify(options)).rejects.toThrow(OptionError);
    };
    for (const level of [0, 1, -1, 2, NaN, Infinity]) {
      await refused({ agreement: level });
      await refused({ delta: level });
    }
    await refused({ unit: "token" });
    await refused({ procedure: "byExit" });
    await refused({ claim: "selective", procedure: "crc" });
    await refused({ bound: "clopperPearson" });
    await refused({ gridShare: 1 });
    await refused({ seed: -1 });
    await refused({ claim: "total" as "overall" });
    await refused({ fill: "propagate" });
    await refused({}, handmadeRecords(1));
    const broken = handmadeRecords(20);
    broken.documents[3]!.exits[1]!.stats[4] = NaN;
    await refused({ score: "entropy" }, broken);
    const empty = handmadeRecords(20);
    await refused(
      {},
      {
        ...empty,
        documents: [
          ...empty.documents.slice(1),
          {
            hash: "f".repeat(64),
            positions: 0,
            exits: empty.documents[0]!.exits.map(() => ({ stats: new Float32Array(), agrees: new Uint8Array() })),
          },
        ],
      },
    );
    await refused(
      {},
      { ...empty, documents: empty.documents.map((document) => ({ ...document, exits: document.exits.slice(0, 1) })) },
    );
  });

  test.prop(
    [fc.nat(1000), fc.double({ min: 0.6, max: 0.99, noNaN: true }), fc.double({ min: 0.3, max: 1, noNaN: true })],
    { numRuns: 20 },
  )(
    "at a single exit, the certified threshold lets at most as many test tokens leave as the paper's threshold, " +
      "chosen on the same tokens",
    async (seed, agreement, error) => {
      const single = handmadeRecords(60, { error, seed });
      const one = {
        ...single,
        depths: [4],
        ledger: { ...single.ledger, heads: [20] },
        documents: single.documents.map((document) => ({ ...document, exits: document.exits.slice(1) })),
      };
      const { policy, certificate } = await calibrateRecords(one, {
        agreement,
        claim: "selective",
        unit: "token",
        score: "entropy",
      });
      const tested = new Set(certificate.documents.slice(certificate.split.grid).map(({ hash }) => hash));
      const paper = await calibrateRecords(
        { ...one, documents: one.documents.filter(({ hash }) => tested.has(hash)) },
        { procedure: "paper", agreement },
      );
      expect(policy.score).toBe(paper.policy.score);
      expect(certificate.measured.exits[0]!.left).toBeLessThanOrEqual(paper.certificate.measured.exits[0]!.left);
    },
  );
});

describe("calibrate", () => {
  let heads: ExitHeads;
  const documents = Array.from({ length: 24 }, (_, i) => randomIds(8 + (i % 9), 61, i));
  beforeAll(async () => {
    heads = attachHeads(await smallModel({ device: createReferenceDevice() }), { exits: [1, 3], kind: "tied" });
  });

  it("streams documents and gives the same certificates as one recording in memory", async () => {
    const records = await recordDocuments(heads, documents);
    for (const options of [
      { agreement: 0.3, delta: 0.3 },
      { agreement: 0.3, delta: 0.3, claim: "selective", procedure: "byExit", unit: "token", seed: 3 },
    ] as const) {
      expect(await calibrate(heads, documents, options)).toEqual(await calibrateRecords(records, options));
    }
  });

  it("binds the policy: other thresholds, fills or weight dtypes are refused with the reason", async () => {
    const { policy } = await calibrate(heads, documents, { agreement: 0.3, delta: 0.3 });
    expect(exits(policy)).not.toEqual(["never", "never"]); // otherwise the test shows little
    const run = async (changed: Policy, source = heads): Promise<void> => {
      for await (const token of generate(source, [1, 2], { policy: changed, maxNewTokens: 2 })) {
        expect(token.id).toBeGreaterThanOrEqual(0);
      }
    };
    await run(policy);
    await expect(run({ ...policy, fill: "propagate" })).rejects.toMatchObject({ code: "policy-fill" });
    await run(withFill(policy, "propagate"));
    await expect(
      run({ ...policy, exits: policy.exits.map(({ depth }) => ({ depth, threshold: "always" })) }),
    ).rejects.toMatchObject({ code: "policy-thresholds" });
    await expect(run({ ...policy, certified: { ...policy.certified!, dtype: "int8" } })).rejects.toMatchObject({
      code: "policy-dtype",
    });
    await expect(run({ ...policy, certified: {} as never })).rejects.toMatchObject({ code: "policy-certified" });
  });

  it("resumes from a store after an interruption, with the same result", async () => {
    const files = new Map<string, Uint8Array>();
    let reads = 0;
    let writes = 0;
    const store: CacheStore = {
      read: (name) => Promise.resolve((reads++, files.get(name))),
      write: (name, bytes) => Promise.resolve(void (writes++, files.set(name, bytes))),
    };
    for (const fill of ["lazy", "propagate"] as const) {
      const options = { agreement: 0.3, delta: 0.3, fill, candidates: 3, batchSize: 4 };
      const controller = new AbortController();
      let steps = 0;
      const count = (): void => {
        if (++steps === 14) controller.abort(new Error("enough"));
      };
      await expect(
        calibrate(heads, documents, { ...options, store, signal: controller.signal, onDocument: count, onRun: count }),
      ).rejects.toThrow("enough");
      const before = writes;
      const resumed = await calibrate(heads, documents, { ...options, store });
      expect(writes).toBeGreaterThan(before);
      const total = writes;
      expect(await calibrate(heads, documents, { ...options, store })).toEqual(resumed);
      expect(writes).toBe(total);
      expect(resumed).toEqual(await calibrate(heads, documents, options));
    }
    expect(reads).toBeGreaterThan(0);
  });

  it("refuses text with fewer than two documents", async () => {
    await expect(calibrate(heads, [[]])).rejects.toMatchObject({ code: "documents-empty" });
    await expect(calibrate(heads, [[1, 2, 3]])).rejects.toMatchObject({ code: "documents-few" });
  });
});

describe("runPolicies", () => {
  const device = createReferenceDevice();
  const thresholds: Threshold[][] = [
    ["never", 3.6],
    [3.7, "never"],
    ["always", "never"],
    ["never", "never"],
  ];

  it("counts what the decoder emits on the same prefixes, one document at a time", async () => {
    const model = await smallModel({ device });
    const heads = attachHeads(model, { exits: [1, 3], kind: "tied" });
    const documents = Array.from({ length: 7 }, (_, i) => randomIds(3 + 5 * i, 61, i));
    for (const fill of ["lazy", "propagate"] as const) {
      const runs = await runPolicies(
        heads,
        documents,
        { score: "entropy", fill, thresholds },
        { batchSize: 3, sequenceLength: 20 },
      );
      for (const [d, ids] of documents.entries()) {
        const counted = { left: new Array<number>(8).fill(0), wrong: new Array<number>(8).fill(0), deep: [0, 0, 0, 0] };
        for (const [candidate, vector] of thresholds.entries()) {
          for (let begin = 0; begin < ids.length; begin += 20) {
            const window = ids.slice(begin, begin + 20);
            const logits = await model.logits(window);
            const decoder = earlyExitDecoder(heads, createPolicy(heads, vector, { fill }));
            const sequence = new Sequence(model);
            for (const [t, id] of window.entries()) {
              sequence.append(id);
              const [round] = await decoder.next([{ sequence, sampler: createSampler({}, createRng(0)), room: 1 }]);
              const choice = round!.tokens[0]!;
              const row = logits.subarray(61 * t, 61 * (t + 1));
              const differs = Number(choice.id !== row.indexOf(Math.max(...row)));
              if (choice.exit === undefined) counted.deep[candidate]! += differs;
              else {
                counted.left[2 * candidate + choice.exit]!++;
                counted.wrong[2 * candidate + choice.exit]! += differs;
              }
            }
          }
        }
        expect(runs.documents[d]!.counts).toEqual(counted);
      }
    }
  });

  it("gives the counts of a recording with an exact fill; with propagate other tokens change too", async () => {
    const heads = attachHeads(await smallModel({ device }), { exits: [1, 3], kind: "tied" });
    const documents = Array.from({ length: 6 }, (_, i) => randomIds(12 + i, 61, i));
    const records = await recordDocuments(heads, documents);
    const vectors = thresholds.map((vector) =>
      vector.map((threshold) => (threshold === "never" ? Infinity : threshold === "always" ? -Infinity : -threshold)),
    );
    const recorded = tallyVectors(tableOf(records.documents, "entropy"), vectors);
    const run = async (fill: "lazy" | "propagate") =>
      tallyRuns(await runPolicies(heads, documents, { score: "entropy", fill, thresholds }));
    expect(await run("lazy")).toEqual(recorded);
    const propagated = await run("propagate");
    expect(propagated.deep.some((changed) => changed > 0)).toBe(true);
    // threshold "always": no token goes deeper
    expect(propagated.left.filter((_, i) => i % 8 === 4)).toEqual(recorded.left.filter((_, i) => i % 8 === 4));
  });

  it("serves calibrateRuns under every seed", async () => {
    const heads = attachHeads(await smallModel({ device }), { exits: [1, 3], kind: "tied" });
    const documents = Array.from({ length: 40 }, (_, i) => randomIds(10, 61, i));
    const runs = await runPolicies(heads, documents, {
      score: "entropy",
      fill: "propagate",
      thresholds: [
        ["never", 3.5],
        ["never", 3.7],
        ["never", 3.9],
      ],
    });
    const stored = JSON.parse(JSON.stringify(runs)) as typeof runs;
    const certificates: Certificate[] = [];
    for (let seed = 0; seed < 5; seed++) {
      certificates.push((await calibrateRuns(stored, { agreement: 0.2, delta: 0.3, seed })).certificate);
    }
    expect(new Set(certificates.map(({ digest }) => digest)).size).toBe(5);
    expect(
      certificates.every(({ policy: { fill }, accepted }) => fill === "propagate" && accepted.deep.length === 24),
    ).toBe(true);
    expect(certificates.some(({ furtherUnits }) => furtherUnits === 0)).toBe(true);
    const lazy = await runPolicies(heads, documents.slice(0, 4), { score: "entropy", fill: "lazy", thresholds });
    await expect(calibrateRuns(lazy, { claim: "selective", procedure: "byExit" })).rejects.toMatchObject({
      code: "option-conflict",
    });
  });
});

it(
  "takes under two seconds of processor time for 200,000 recorded tokens with 5 exits, all scores compared",
  { timeout: 60_000 },
  async () => {
    const small = handmadeRecords(60, { seed: 6 });
    const tokens = 200;
    // One long recording; documents and exits are windows of it at different positions.
    const long = handmadeRecords(1000, { seed: 7 }).documents.map(({ exits: [, deeper] }) => deeper!);
    const stats = Float32Array.from(long.flatMap((exit) => [...exit.stats]));
    const agrees = Uint8Array.from(long.flatMap((exit) => [...exit.agrees]));
    const windows = agrees.length - tokens;
    const many: CalibrationRecords = {
      ...small,
      depths: [1, 2, 3, 4, 5],
      ledger: { ...small.ledger, heads: [20, 20, 20, 20, 20], fills: {} },
      documents: Array.from({ length: 1000 }, (_, d) => ({
        hash: d.toString(16).padStart(64, "0"),
        positions: tokens,
        exits: Array.from({ length: 5 }, (_unused, exit) => {
          const at = (197 * d + 997 * exit) % windows;
          return { stats: stats.subarray(5 * at, 5 * (at + tokens)), agrees: agrees.subarray(at, at + tokens) };
        }),
      })),
    };
    await calibrateRecords(small); // warm-up: compiles the code
    const before = process.cpuUsage();
    const { certificate } = await calibrateRecords(many);
    const { user, system } = process.cpuUsage(before);
    expect(certificate.furtherUnits).toBe(0);
    expect((user + system) / 1e6).toBeLessThan(2);
  },
);
