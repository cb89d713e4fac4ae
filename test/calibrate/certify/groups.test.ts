/** Groups, copies, and what a calibration says beforehand. */
import { calibrate, verifyCertificate } from "early-exits";
import {
  type CalibrationDocument,
  calibrateRecords,
  type CalibrationRecords,
  feasibility,
  recordDocuments,
} from "early-exits/calibrate";
import type { Model } from "early-exits/model";
import { createRng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { hashDocuments } from "../../../src/calibrate/record/documents.js";
import { findKin } from "../../../src/calibrate/record/find-kin.js";
import { classDocuments } from "../../../src/calibrate/verify/check-documents.js";
import { randomDocuments, smallHeads } from "../../support/models.js";
import { handmadeRecords } from "../../support/records.js";
import { sumOf, times } from "../../support/lists.js";
import { expectCode } from "../../support/expect-code.js";
import { verdictOf } from "../../support/verdict.js";

const key = (group: number) => group.toString(16).padStart(64, "0");
/** Document d belongs to group d mod `groups`. */
const grouped = (records: CalibrationRecords, groups: number) => ({
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
    const mean = (values: readonly number[]) => sumOf(values, (value) => value / values.length);
    expect(candidate!.risk).toBeCloseTo(mean(Array.from(losses.values(), mean)), 12);
    expect(await verdictOf(certificate, { records })).toBe("reproduced");
  });

  it("work with the other loss", async () => {
    const { certificate } = await calibrateRecords(records, { loss: "anyChange", agreement: 0.5 });
    expect(await verdictOf(certificate, { records })).toBe("reproduced");
  });

  it("may be left aside: then the certificate says by how much the variance is larger", async () => {
    const { certificate, notes } = await calibrateRecords(records, { agreement: 0.85, unit: "document" });
    expect(certificate.groups).toMatchObject({ count: 60 });
    expect(certificate.groups.designEffect).toBeLessThan(1.5);
    expect(notes.dependence).toBeNull();
    expect(await verdictOf(certificate)).toBe("arithmetic consistent");
    await expectCode(calibrateRecords(handmadeRecords(30), { unit: "group" }), "documents-ungrouped");
  });

  it("two of them are too few for a promise, and the certificate says how many more are needed", async () => {
    const { certificate, policy } = await calibrateRecords(grouped(handmadeRecords(200), 2), { agreement: 0.8 });
    expect(policy.exits.every(({ threshold }) => threshold === "never")).toBe(true);
    expect(certificate.furtherUnits).toBeGreaterThan(10);
  });
});

describe("copies", () => {
  const rng = createRng(4);
  const text = (words: number) => times(words, () => `w${rng.integer(3000)}`).join(" ");
  /** A tokenizer of words, for which case is another token. */
  const vocabulary: string[] = [];
  const numbers = new Map<string, number>();
  const encode = (of: string) =>
    of.split(/\s+/).map((word) => {
      if (!numbers.has(word)) numbers.set(word, vocabulary.push(word) - 1);
      return numbers.get(word)!;
    });
  const decode = (ids: readonly number[]) => ids.map((id) => vocabulary[id]).join(" ");
  const model = { tokenizer: { encode, decode } } as unknown as Model;
  /** Sizes of classes, as the maker finds them and as the verifier does, in three orders. */
  const classes = async (documents: readonly CalibrationDocument[]) => {
    const shuffled = documents.map((one) => [rng.uniform(), one] as const).sort(([x], [y]) => x - y);
    const found = [documents, documents.toReversed(), shuffled.map(([, one]) => one)].map(async (order) => {
      const hashed = await hashDocuments({ model, taught: undefined }, order, Infinity);
      const sizes = [hashed, classDocuments(hashed, model)].map((list) => {
        const names = list.map(({ kin }) => kin);
        return [...new Set(names)].map((name) => names.filter((one) => one === name).length).sort((x, y) => y - x);
      });
      expect(sizes[0]).toEqual(sizes[1]);
      return sizes[0]!;
    });
    const [first, ...others] = await Promise.all(found);
    for (const other of others) expect(other).toEqual(first);
    return first!;
  };
  const ones = (count: number) => Array<number>(count).fill(1);
  const chat = (prompt: string, answer: string) => {
    const ids = encode(`${prompt} ${answer}`);
    return { ids, from: encode(prompt).length };
  };
  const edited = (of: string, share: number) =>
    of
      .split(" ")
      .map((word) => (rng.uniform() < share ? `x${rng.integer(9)}` : word))
      .join(" ");
  const system = text(90);
  const long = text(120);

  it.for<[string, () => readonly CalibrationDocument[], readonly number[]]>([
    [
      "whatever the case, the spacing and the way of giving them",
      () => [
        long,
        long.toUpperCase(),
        { text: long.replaceAll(" ", " \n") },
        encode(long),
        { ids: encode(long) },
        text(120),
      ],
      [5, 1],
    ],
    ["with ids that name no text", () => [[9e6, 9e6 + 1], { ids: [9e6, 9e6 + 1] }, [9e6, 9e6 + 2]], [2, 1]],
    ["given 200 times", () => [...times(200, () => long), text(120)], [200, 1]],
    [
      "with one word in 50 replaced at random",
      () => [...times(200, () => edited(long + system, 1 / 50)), text(120)],
      [200, 1],
    ],
    [
      "not for a shared system prompt, nor by one short answer",
      () => times(41, (i) => chat(`${system} ${text(12)}`, i === 40 ? "Paris." : text(25))),
      ones(41),
    ],
    [
      "not for short answers that many questions have",
      () => times(30, (i) => chat(`${system} ${text(12)}`, i % 2 === 0 ? "Yes." : "No.")),
      ones(30),
    ],
    [
      "if prompt and answer are",
      () => [0, 1, 2].map(() => chat(`${system} ${edited(long, 0.02)}`, edited(long, 0.02))),
      [3],
    ],
    ["not if answers differ", () => [1, 2].map(() => chat(`${system} ${long}`, text(30))), ones(2)],
  ])("are one class %s", async ([, documents, sizes]) => expect(await classes(documents())).toEqual(sizes));

  it("are not joined by others: the ends of a chain are two classes at least", async () => {
    const chain = times(7, (i) =>
      long
        .split(" ")
        .slice(10 * i, 10 * i + 50)
        .join(" "),
    );
    expect((await classes(chain)).length).toBeGreaterThan(1);
    expect((await classes(chain)).length).toBeLessThan(7);
  });

  it("are found in seconds among a thousand documents with one header", () => {
    const documents = times(1000, () => ({
      hash: text(2),
      parts: [[], `${system} ${text(80)}`.split(" ")],
    }));
    const started = performance.now();
    const found = findKin(documents);
    expect(new Set(found.map(({ kin }) => kin)).size).toBe(1000);
    expect(new Set(found.map(({ cluster }) => cluster)).size).toBeGreaterThan(800); // a few words by chance
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  it("given to calibrate count once, and the verifier finds them again", async () => {
    const heads = await smallHeads();
    const documents = randomDocuments(20, 40);
    const repeated = [...documents, documents[3]!, documents[3]!, documents[8]!.with(20, 0)];
    const options = { agreement: 0.3, delta: 0.3 };
    const { certificate, notes } = await calibrate(heads, repeated, options);
    expect(certificate.documents.map(({ copies = [] }) => copies.length).sort()).toEqual([
      ...Array<number>(18).fill(0),
      1,
      2,
    ]);
    expect([notes.copies, certificate.assumptions.includes("documents-distinct")]).toEqual([3, true]);
    expect(await verdictOf(certificate, { heads, documents: repeated })).toBe("reproduced");
    const { reasons } = await verifyCertificate(certificate, { heads, documents });
    expect(reasons.join()).toMatch(/1 of the 23 that it names are not among those given/);
    await expectCode(calibrate(heads, [null as never]), "document-malformed");
    // Classes that are not those of the texts: none, or a third of the documents one.
    const records = await recordDocuments(heads, repeated);
    const third = records.documents.slice(0, 8).map(({ hash }) => hash);
    for (const joined of [[], third]) {
      const kinOf = (hash: string) => (joined.includes(hash) ? joined[0]! : hash);
      const lies = records.documents.map((document) => ({ ...document, kin: kinOf(document.hash) }));
      const { certificate: lie } = await calibrateRecords({ ...records, documents: lies }, options);
      expect((await verifyCertificate(lie)).reasons).toEqual([]);
      expect(await verdictOf(lie, { heads, documents: repeated })).toBe("refuted");
    }
  });

  it("of any change are no longer 0 or 1, so that another bound applies", async () => {
    const records = handmadeRecords(120, { error: 0.01 });
    const near = { ...records.documents[5]!, hash: "f".repeat(64), kin: records.documents[5]!.hash };
    const options = { agreement: 0.8, loss: "anyChange" } as const;
    const [plain, copied] = await Promise.all(
      [records.documents, [...records.documents, near]].map((documents) =>
        calibrateRecords({ ...records, documents }, options),
      ),
    );
    expect(await verdictOf(copied!.certificate)).toBe("arithmetic consistent");
    expect(copied!.certificate.test!.candidates[0]!.pValue).not.toBe(plain!.certificate.test!.candidates[0]!.pValue);
  });
});

describe("recording", () => {
  const documents = randomDocuments(12, 9);

  it("reads each test document once, also if nothing is accepted", async () => {
    const heads = await smallHeads();
    let recorded = 0;
    const { policy } = await calibrate(heads, documents, { agreement: 0.99, onDocument: () => recorded++ });
    expect(policy.exits.every(({ threshold }) => threshold === "never")).toBe(true);
    expect(recorded).toBeLessThanOrEqual(12);
    const marked = documents.map((ids, i) => ({ ids, from: 4, group: `g${i % 6}` }));
    const { certificate } = await calibrate(heads, marked, { agreement: 0.3, delta: 0.3 });
    expect(await verdictOf(certificate, { heads, documents: marked })).toBe("reproduced");
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
