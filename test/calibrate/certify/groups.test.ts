/** Groups, copies, and what a calibration says beforehand. */
import { calibrate, verifyCertificate } from "early-exits";
import { calibrateRecords, type CalibrationRecords, feasibility } from "early-exits/calibrate";
import { describe, expect, it } from "vitest";
import { designEffectInOrder, designEffectOf } from "../../../src/calibrate/certify/write-certificate.js";
import { findKin } from "../../../src/calibrate/record/documents.js";
import { randomIds, smallHeads } from "../../support/models.js";
import { handmadeRecords } from "../../support/records.js";

const key = (group: number): string => group.toString(16).padStart(64, "0");
/** Document d belongs to group d mod `groups`. */
const grouped = (records: CalibrationRecords, groups: number): CalibrationRecords => ({
  ...records,
  documents: records.documents.map((document, d) => ({ ...document, group: key(d % groups) })),
});

describe("groups", () => {
  const records = grouped(handmadeRecords(300), 60);

  it("are the units if documents have them; no group is in both parts", async () => {
    const { certificate } = await calibrateRecords(records, { agreement: 0.85 });
    const { documents, split, test: tested, groups, unit, assumptions } = certificate;
    expect([unit, groups]).toEqual(["group", { count: 60, designEffect: null }]);
    expect(assumptions).toContain("groups-independent");
    const [grid, test] = [documents.slice(0, split.grid), documents.slice(split.grid)].map(
      (part) => new Set(part.map(({ group }) => group)),
    );
    expect([grid!.size, test!.size]).toEqual([24, 36]);
    for (const group of grid!) expect(test!.has(group)).toBe(false);
    // The risk is the mean over groups of the mean over their documents.
    const [candidate] = tested!.candidates;
    const losses = new Map<string, number[]>();
    test!.forEach((group) => losses.set(group!, []));
    documents.slice(split.grid).forEach(({ group, tokens }, d) => {
      const wrong = candidate!.wrong[2 * d]! + candidate!.wrong[2 * d + 1]!;
      losses.get(group!)!.push(wrong / tokens);
    });
    const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value / values.length, 0);
    expect(candidate!.risk).toBeCloseTo(mean(Array.from(losses.values(), mean)), 12);
    expect((await verifyCertificate(certificate, { records })).verdict).toBe("reproduced");
  });

  it("work with every loss", async () => {
    for (const options of [{ loss: "token" }, { loss: "anyChange", agreement: 0.5 }] as const) {
      const { certificate } = await calibrateRecords(records, { agreement: 0.8, ...options });
      const { verdict, reasons } = await verifyCertificate(certificate, { records });
      expect([verdict, reasons], JSON.stringify(options)).toEqual(["reproduced", []]);
    }
  });

  it("may be left aside: then the certificate says by how much the variance is larger", async () => {
    const { certificate, notes } = await calibrateRecords(records, { agreement: 0.85, unit: "document" });
    expect(certificate.groups).toMatchObject({ count: 60 });
    expect(certificate.groups.designEffect).toBeLessThan(1.5);
    expect(notes.dependence).toEqual({ designEffect: certificate.groups.designEffect, basis: "groups" });
    expect((await verifyCertificate(certificate)).verdict).toBe("arithmetic consistent");
    await expect(calibrateRecords(handmadeRecords(30), { unit: "group" })).rejects.toMatchObject({
      code: "documents-ungrouped",
    });
  });

  it("two of them are too few for a promise, and the certificate says how many more are needed", async () => {
    const { certificate, policy } = await calibrateRecords(grouped(handmadeRecords(200), 2), { agreement: 0.8 });
    expect(policy.exits.every(({ threshold }) => threshold === "never")).toBe(true);
    expect(certificate.furtherUnits).toBeGreaterThan(10);
  });
});

describe("design effects", () => {
  it("are 1 without dependence, the group's size if its documents are equal, and larger for runs in order", () => {
    const noise = Array.from({ length: 400 }, (_, i) => ((i * 7919) % 101) / 101);
    const groups = noise.map((_, i) => String(i % 40));
    expect(designEffectOf(noise, groups)).toBeLessThan(1.6);
    const equal = noise.map((_, i) => noise[i % 40]!);
    expect(designEffectOf(equal, groups)).toBeCloseTo(10, 6);
    expect(designEffectInOrder(noise)).toBeLessThan(1.5);
    expect(designEffectInOrder(noise.map((_, i) => noise[Math.floor(i / 10)]!))).toBeGreaterThan(5);
    expect(designEffectInOrder(noise.map(() => 0))).toBeNull();
    expect(designEffectOf([0, 1], ["a", "b"])).toBeNull();
  });
});

describe("copies", () => {
  const sentence = (seed: number): string =>
    Array.from({ length: 30 }, (_, i) => `w${((seed * 31 + i) * 7919) % 997}`).join(" ");

  it("are found whatever the case and spacing, and if half of the passages are shared", () => {
    const half = `${sentence(1).split(" ").slice(0, 20).join(" ")} ${sentence(3)}`;
    const texts = [
      sentence(1),
      sentence(2),
      `  ${sentence(1).toUpperCase().replaceAll(" ", ",\n")}`,
      sentence(5),
      half,
    ];
    const kin = findKin(texts.map((words, i) => ({ hash: key(i), words })));
    expect(kin.map((one) => one.kin)).toEqual([key(0), undefined, key(0), undefined, key(0)]);
    expect(findKin([1, 2].map((n) => ({ hash: key(n), words: [3, 4, 5] }))).map((one) => one.kin)).toEqual([
      key(1),
      key(1),
    ]);
  });

  it("shared passages alone make a cluster, not kin", () => {
    const quote = sentence(9).split(" ").slice(0, 9).join(" ");
    const texts = [`${sentence(1)} ${quote}`, `${quote} ${sentence(2)}`, sentence(4)];
    const found = findKin(texts.map((words, i) => ({ hash: key(i), words })));
    expect(found).toEqual([{ cluster: key(0) }, { cluster: key(0) }, {}]);
  });

  it("given to calibrate as text count once, and the verifier finds them again", async () => {
    const heads = await smallHeads();
    const documents = Array.from({ length: 20 }, (_, i) => randomIds(10, 61, i));
    const repeated = [...documents, documents[3]!, documents[3]!, documents[8]!];
    const { certificate, notes } = await calibrate(heads, repeated, { agreement: 0.3, delta: 0.3 });
    expect(certificate.documents).toHaveLength(20);
    expect(certificate.documents.map(({ copies = 1 }) => copies).sort()).toEqual([...Array<number>(18).fill(1), 2, 3]);
    expect([notes.copies, certificate.assumptions.includes("documents-distinct")]).toEqual([3, true]);
    expect((await verifyCertificate(certificate, { heads, documents: repeated })).verdict).toBe("reproduced");
    expect((await verifyCertificate(certificate, { heads, documents })).reasons.join()).toMatch(/occurs 1 times/);
  });
});

describe("recording", () => {
  const documents = Array.from({ length: 12 }, (_, i) => randomIds(9, 61, i));

  it("reads each test document once, also if nothing is accepted", async () => {
    const heads = await smallHeads();
    let recorded = 0;
    const { policy } = await calibrate(heads, documents, { agreement: 0.99, onDocument: () => recorded++ });
    expect(policy.exits.every(({ threshold }) => threshold === "never")).toBe(true);
    expect(recorded).toBeLessThanOrEqual(12);
    const marked = documents.map((ids, i) => ({ ids, from: 4, group: `g${i % 6}` }));
    const { certificate } = await calibrate(heads, marked, { agreement: 0.3, delta: 0.3 });
    expect((await verifyCertificate(certificate, { heads, documents: marked })).verdict).toBe("reproduced");
  });
});

describe("beforehand", () => {
  it("furtherDocuments are enough, counted in documents", async () => {
    for (const agreement of [0.95, 0.9]) {
      const few = handmadeRecords(agreement === 0.95 ? 40 : 20, { error: 0.02 });
      const { certificate, notes } = await calibrateRecords(few, { agreement });
      expect(certificate.furtherUnits).toBeGreaterThan(0);
      const total = few.documents.length + certificate.furtherDocuments!;
      expect(total).toBeGreaterThanOrEqual(notes.fewestDocuments);
      expect(total - Math.round(0.4 * total)).toBeGreaterThanOrEqual(
        certificate.documents.length - certificate.split.grid + certificate.furtherUnits! - 1,
      );
      // An estimate from few documents: a quarter is added.
      const enough = await calibrateRecords(handmadeRecords(Math.ceil(1.25 * total), { error: 0.02 }), { agreement });
      expect(enough.certificate.furtherDocuments, String(agreement)).toBe(0);
    }
  });

  it("an exit that differs on a share mu of the tokens cannot keep fewer than mu - alpha of them", async () => {
    const records = handmadeRecords(200, { error: 0.9 });
    const agreement = 0.95;
    const [first, second] = feasibility(records, { agreement });
    expect(first!.mustStay).toBeCloseTo(first!.baseRisk - 0.05, 12);
    expect(second!.mustStay).toBeGreaterThan(0.1);
    const { certificate, notes } = await calibrateRecords(records, { agreement });
    expect(1 - certificate.measured.coverage).toBeGreaterThan(second!.mustStay);
    expect(notes.speedup).toBeGreaterThan(1);
  });
});
