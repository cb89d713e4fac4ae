/**
 * Certificates and their independent check: valid ones pass, changed ones are refused with the reason, and records,
 * model and text are checked if given.
 */
import { readFileSync } from "node:fs";
import { calibrate, type Certificate, checkCertificate, scoreNames, verifyCertificate } from "early-exits";
import {
  calibrateRecords,
  type CalibrationRecords,
  type CertifyPolicyOptions,
  recordDocuments,
} from "early-exits/calibrate";
import { describe, expect, it } from "vitest";
import { sharedWasm } from "../../support/devices.js";
import { giveProjections, randomIds, smallHeads, smallModel } from "../../support/models.js";
import { handmadeRecords, withExits } from "../../support/records.js";
import { times } from "../../support/lists.js";
import { resealed, verdictOf } from "../../support/verdict.js";

const kinds: readonly CertifyPolicyOptions[] = [
  {},
  { loss: "anyChange", agreement: 0.5 },
  { loss: "anyChange", agreement: 0.999 },
  ...scoreNames.map((score) => ({ score })),
  { unit: "document", gridShare: 0.2 },
  { agreement: 0.999 },
];
const VALID = { verdict: "reproduced", reasons: [] };
const CONSISTENT = { verdict: "arithmetic consistent", reasons: [] };
const records = handmadeRecords(150);
const reasonsIn = async (...asked: Parameters<typeof verifyCertificate>) =>
  (await verifyCertificate(...asked)).reasons.join("; ");
const copy = <Value>(value: Value) => JSON.parse(JSON.stringify(value)) as Value;
const made = async (options: CertifyPolicyOptions = {}) =>
  copy((await calibrateRecords(records, { agreement: 0.85, ...options })).certificate);

type Path = readonly (string | number)[];

/** The path of every leaf of a JSON value. */
function paths(value: unknown, here: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [here];
  const inner = Object.entries(value).flatMap(([key, member]) =>
    paths(member, [...here, Array.isArray(value) ? Number(key) : key]),
  );
  return inner.length === 0 ? [here] : inner;
}

/** The first entries of every list, and some of the others, because entries of long lists are alike. */
function sampled(all: readonly Path[]) {
  return all.filter((path, i) => path.every((key) => typeof key === "string" || key < 2) || i % 97 === 0);
}

/** The certificate with one leaf changed a little. */
function mutated(certificate: Certificate, path: Path): Certificate {
  const changed = copy(certificate);
  let at = changed as unknown as Record<string | number, unknown>;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
  const last = path.at(-1)!;
  at[last] = otherValue(at[last]);
  return changed;
}

function otherValue(old: unknown): unknown {
  if (typeof old === "number") return Number.isInteger(old) ? old + 1 : old * 1.01 + 0.001;
  if (typeof old === "string") return `${old.slice(0, -1)}${old.endsWith("0") ? "1" : "0"}`;
  if (old === null) return 7;
  return Array.isArray(old) ? [1] : { more: 1 };
}

/** Tokens that a candidate changes in the document that an entry of `wrong` is about; there are two exits. */
function wrongIn({ wrong }: { readonly wrong: readonly number[] }, entry: number) {
  const row = entry - (entry % 2);
  return wrong[row]! + wrong[row + 1]!;
}

describe("verifyCertificate", () => {
  it("passes what calibration makes, for all losses, scores and splits, where tokens leave early", async () => {
    for (const options of kinds) {
      const certificate = await made(options);
      const { loss, measured, policy } = certificate;
      expect([measured.coverage > 0, loss]).toEqual([options.agreement !== 0.999, options.loss ?? "token"]);
      if (options.score) expect(policy.score).toBe(options.score);
      expect(checkCertificate(certificate)).toBe(certificate);
      expect(await verifyCertificate(certificate), JSON.stringify(options)).toMatchObject(CONSISTENT);
      expect(await verifyCertificate(certificate, { records }), JSON.stringify(options)).toMatchObject(VALID);
    }
  });

  it("refuses a certificate with any single field changed", async () => {
    const certificate = await made({ candidates: 3 });
    const all = paths(certificate);
    expect(all.length).toBeGreaterThan(1000);
    for (const path of sampled(all)) {
      expect(await verdictOf(mutated(certificate, path)), path.join(".")).toBe("refuted");
    }
  });

  it("refuses numbers that contradict each other even if the digest is computed anew", async () => {
    const unverifiable = [
      // Names, versions and costs: only the digest, the model or the text can confirm them.
      /^(libraryVersion|numLayers|backend|kernelBuild|sequenceLength|costs|digest|settings|taught)/,
      /^documents\.\d+\.(hash|tokens)|planned$|cost$/,
      // The claim does not rest on where tokens leave, or on the thresholds of candidates that were not chosen.
      /^test\.candidates\.\d+\.left\.|candidates\.\d+\.thresholds/,
      // Whose model and heads these are; the reference is the model itself, so its hash cannot change alone.
      /^policy\.headsHash$/,
    ];
    /**
     * A document in which two tokens changed is changed, and so is one with three. The exact binomial has no stakes
     * that depend on delta.
     */
    const saysTheSame = ({ loss, test }: Certificate, path: Path) =>
      loss === "anyChange" &&
      (path[0] === "delta" ||
        (path[3] === "wrong" && wrongIn(test!.candidates[Number(path[2])]!, Number(path[4])) > 0));
    for (const options of [{ candidates: 3 }, { loss: "anyChange", agreement: 0.3, candidates: 3 }] as const) {
      const certificate = await made(options);
      const all = paths(certificate).filter(
        (path) => !unverifiable.some((pattern) => pattern.test(path.join("."))) && !saysTheSame(certificate, path),
      );
      for (const path of sampled(all)) {
        expect(await verdictOf(await resealed(mutated(certificate, path))), path.join(".")).toBe("refuted");
      }
    }
  });

  it("gives the reasons", async () => {
    const certificate = await made();
    const { test } = certificate;
    const reasonsOf = async (changes: Partial<Certificate>, options = {}) =>
      reasonsIn(await resealed(certificate, changes), options);
    expect(await reasonsIn({ ...certificate, delta: 0.01 })).toContain(
      "the digest does not match: the file was changed after it was made",
    );
    expect(await reasonsOf({ split: { ...certificate.split, seed: 99 } })).toMatch(/not in the order of seed 99/);
    expect(await reasonsOf({ agreement: 0.95 })).toMatch(/certified for other terms/);
    const { settings } = certificate;
    expect(await reasonsOf({ settings: { ...settings, choices: 1000 } })).toMatch(/so many choices/);
    const { policy } = certificate;
    const stricter = { ...policy, agreement: 0.95, certified: { ...policy.certified!, agreement: 0.95 } };
    expect(await reasonsOf({ agreement: 0.95, policy: stricter })).toMatch(/p-value is stored as/);
    expect(await reasonsOf({ documents: certificate.documents.toReversed() })).toMatch(/split in another way/);
    const offByOne = { ...test!, accepted: test!.accepted + 1 };
    expect(test!.candidates.length).toBeGreaterThan(test!.accepted); // it lists the first failure
    expect(await reasonsOf({ test: offByOne })).toMatch(/by their p-values it is/);
    const other = { ...policy.certified!, loss: "totalVariation" } as const;
    expect(await reasonsOf({ loss: "totalVariation", policy: { ...policy, certified: other } })).toMatch(
      /does not go with temperature 0/,
    );
    expect(await reasonsOf({ unit: "group" })).toMatch(/needs documents that name groups/);
    const lax = certificate.policy.exits.map(({ depth }) => ({ depth, threshold: "always" as const }));
    expect(await reasonsOf({ policy: { ...certificate.policy, exits: lax } })).toMatch(
      /thresholds are not those that were certified/,
    );
    const left = Array<number>(1_500_000).fill(0);
    const many = { test: { ...test!, candidates: [{ ...test!.candidates[0]!, left }] } };
    expect(await reasonsIn({ ...certificate, ...many, accepted: { ...certificate.accepted, left } })).toMatch(
      /together/,
    );
    for (const malformed of [null, 3, {}, { ...certificate, test: undefined }, { ...certificate, policy: null }]) {
      expect(await reasonsIn(malformed)).toMatch(/expected|is missing/);
    }
  });

  it("refuses counts that the records do not give", async () => {
    const certificate = await made();
    const reasonsWith = (given: CalibrationRecords) => reasonsIn(certificate, { records: given });
    expect(await reasonsWith({ ...records, headsHash: "c".repeat(64) })).toBe(
      "records: they are of another model or other heads",
    );
    expect(await reasonsWith({ ...records, dtype: "int8" })).toMatch(/stored as int8/);
    expect(await reasonsWith(handmadeRecords(150, { seed: 2 }))).toMatch(/are not among those given/);
    const more = [...records.documents, ...handmadeRecords(1, { seed: 3 }).documents];
    const larger = await verifyCertificate(certificate, { records: { ...records, documents: more } });
    expect([larger.verdict, larger.sentence]).toEqual([
      "policy supported",
      expect.stringMatching(/how it was chosen was not checked \(it names 150 of the 151 documents given/),
    ]);
    const tested = new Set(certificate.documents.slice(certificate.split.grid).map(({ hash }) => hash));
    const worse = withExits(records, ({ stats, agrees }) => ({ stats, agrees: agrees.map(() => 0) }));
    expect(await reasonsWith(worse)).toMatch(/the grid split proposes/);
    const worseTest = {
      ...records,
      documents: records.documents.map((document) =>
        tested.has(document.hash) ? worse.documents.find(({ hash }) => hash === document.hash)! : document,
      ),
    };
    expect(await reasonsWith(worseTest)).toMatch(/the certified vector does not do what the certificate stores/);
  });
});

const heads = await giveProjections(await smallHeads({}, { device: await sharedWasm() }));

describe("verifyCertificate with the model", () => {
  const documents = times(30, (i) => randomIds(8 + (i % 5), 61, i));
  const options = { agreement: 0.3, delta: 0.3 };
  it("runs the policy on the test documents, with any fill", async () => {
    const { certificate } = await calibrate(heads, documents, options);
    let seen = 0;
    const given = { heads, documents: documents.toReversed(), onDocument: () => seen++ };
    expect(await verifyCertificate(copy(certificate), given)).toMatchObject(VALID);
    expect(seen).toBe(18);
    const { certificate: projected } = await calibrate(heads, documents, {
      agreement: 0.1,
      delta: 0.4,
      fill: "project",
      score: "entropy",
    });
    expect(projected.policy.exits.some(({ threshold }) => threshold !== "never")).toBe(true);
    expect(await verifyCertificate(copy(projected), { heads, documents })).toMatchObject(VALID);
    // The same counts claimed for another fill, with the right digest: only running the policy reveals it.
    const { policy } = projected;
    const disguised = await resealed(projected, {
      policy: { ...policy, fill: "lazy", certified: { ...policy.certified!, fill: "lazy" } },
      assumptions: projected.assumptions.map((code) => (code === "fill-as-deployed" ? "fill-exact" : code)),
      test: {
        ...projected.test!,
        candidates: projected.test!.candidates.map((candidate) => ({ ...candidate, deep: [] })),
      },
      accepted: { ...projected.accepted, deep: [] },
    });
    expect(await reasonsIn(disguised, { heads, documents })).toMatch(/its risk is stored as/);
  });

  it("refuses another model, other heads, other documents", async () => {
    const { certificate } = await calibrate(heads, documents, options);
    const stranger = await smallHeads({}, { seed: 2 });
    const [model, its] = [
      "model: it is not the one that was certified",
      "heads: they are not the ones that were certified",
    ];
    expect(await reasonsIn(certificate, { heads: stranger })).toBe(`${model}; ${its}`);
    expect(await reasonsIn(certificate, { model: stranger.model })).toBe(model);
    const quantized = await smallModel({ dtype: "int8" });
    expect(await reasonsIn(certificate, { model: quantized })).toBe(
      "model: its weights are stored as int8, not as float32",
    );
    expect(await reasonsIn(certificate, { heads, documents: documents.slice(1) })).toMatch(/are not among those given/);
    const recorded = await recordDocuments(heads, documents);
    expect(await verifyCertificate(certificate, { records: recorded, heads })).toMatchObject(VALID);
  });
});

describe("independence", () => {
  const folder = "../../../src/calibrate/recompute/";
  const importsOf = (file: string) =>
    Array.from(
      readFileSync(new URL(folder + file, import.meta.url), "utf8").matchAll(
        /^import (?!type )[^;]*? from "([^"]+)"|\bimport\("([^"]+)"\)/gms,
      ),
      ([, target, late]) => (target ?? late)!,
    );
  /** The files that `verify-certificate.ts` loads, itself included. */
  const loaded = new Set(["verify-certificate.ts"]);
  for (const file of loaded) {
    for (const target of importsOf(file)) loaded.add(target.replace(/^\.\//, "").replace(/\.js$/, ".ts"));
  }

  it("the recomputation imports nothing but types from outside its own files", () =>
    expect([...loaded].sort()).toEqual([
      "check-shape.ts",
      "limits.ts",
      "verify-certificate.ts",
      "verify-test.ts",
      "verify-values.ts",
    ]));

  it("the decoder's counts come from no code that makes certificates", () => {
    const imports = importsOf("../verify/against-decoder.ts");
    expect(imports.filter((target) => /^\.\/|^\.\.\/(?!\.\.)/.test(target))).toEqual([]);
  });
});
