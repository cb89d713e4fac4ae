/** Certification from records: claims, the split of the documents, and refusals. */
import { fc, test } from "@fast-check/vitest";
import { OptionError, type Policy } from "early-exits";
import type { Threshold } from "early-exits/exits";
import { createRng } from "early-exits/tensor";
import { calibrateRecords, type CalibrationRecords, playPolicy } from "early-exits/calibrate";
import { describe, expect, it } from "vitest";
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
    expect([b.policy, b.certificate]).toEqual([a.policy, a.certificate]); // notes tell the order
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
