/**
 * Certificates and their independent check: valid ones pass, whatever is changed is refused with the reason, and
 * reality is looked at.
 */
import { readFileSync } from "node:fs";
import {
  attachHeads,
  calibrate,
  type Certificate,
  checkCertificate,
  type ExitHeads,
  verifyCertificate,
} from "early-exits";
import { createReferenceDevice } from "early-exits/tensor";
import {
  calibrateRecords,
  calibrateRuns,
  type CertifyPolicyOptions,
  recordDocuments,
  runPolicies,
} from "early-exits/calibrate";
import { beforeAll, describe, expect, it } from "vitest";
import { sealCertificate } from "../../../src/calibrate/certificate/certificate.js";
import { randomIds, smallModel } from "../../support/models.js";
import { handmadeRecords } from "../../support/records.js";

const kinds: readonly CertifyPolicyOptions[] = [
  {},
  { bound: "hoeffding" },
  { bound: "hoeffdingBentkus" },
  { procedure: "bonferroni" },
  { procedure: "crc" },
  { claim: "anyChange", agreement: 0.5 },
  { claim: "anyChange", agreement: 0.5, procedure: "crc" },
  { claim: "selective" },
  { claim: "selective", unit: "token" },
  { claim: "selective", procedure: "byExit" },
  { claim: "selective", procedure: "byExit", unit: "token" },
  { agreement: 0.999 },
];
const records = handmadeRecords(150);
const copy = <Value>(value: Value): Value => JSON.parse(JSON.stringify(value)) as Value;
const made = async (options: CertifyPolicyOptions = {}): Promise<Certificate> =>
  copy((await calibrateRecords(records, { agreement: 0.85, ...options })).certificate);

/** Every place in a JSON value, as a path. */
function paths(value: unknown, here: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (typeof value !== "object" || value === null) return [here];
  const inner = Object.entries(value).flatMap(([key, member]) =>
    paths(member, [...here, Array.isArray(value) ? Number(key) : key]),
  );
  return inner.length === 0 ? [here] : inner;
}

/** The first entries of every list, and some of the others: long lists of counts and hashes are alike. */
function sampled(all: readonly (readonly (string | number)[])[]): (readonly (string | number)[])[] {
  return all.filter((path, i) => path.every((key) => typeof key === "string" || key < 2) || i % 97 === 0);
}

/** The value with one leaf changed a little. */
function mutated(certificate: Certificate, path: readonly (string | number)[]): Certificate {
  const changed = copy(certificate);
  let at = changed as unknown as Record<string | number, unknown>;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
  const last = path.at(-1)!;
  const old = at[last];
  at[last] =
    typeof old === "number"
      ? Number.isInteger(old)
        ? old + 1
        : old * 1.01 + 0.001
      : typeof old === "string"
        ? `${old.slice(0, -1)}${old.endsWith("0") ? "1" : "0"}`
        : old === null
          ? 7
          : Array.isArray(old)
            ? [1]
            : { more: 1 };
  return changed;
}

async function resealed(certificate: Certificate): Promise<Certificate> {
  const content: Partial<Certificate> & Omit<Certificate, "digest"> = { ...certificate };
  delete (content as { digest?: string }).digest;
  return sealCertificate(content);
}

describe("verifyCertificate", () => {
  it("passes what calibration makes, for every claim, procedure and bound, alone and with the records", async () => {
    for (const options of kinds) {
      const certificate = await made(options);
      expect(checkCertificate(certificate)).toBe(certificate);
      expect(await verifyCertificate(certificate), JSON.stringify(options)).toEqual({ valid: true, reasons: [] });
      expect(await verifyCertificate(certificate, { records }), JSON.stringify(options)).toEqual({
        valid: true,
        reasons: [],
      });
    }
  });

  it("refuses a certificate with any single field changed", async () => {
    const certificate = await made({ candidates: 3 });
    const all = paths(certificate);
    expect(all.length).toBeGreaterThan(1000);
    for (const path of sampled(all)) {
      expect((await verifyCertificate(mutated(certificate, path))).valid, path.join(".")).toBe(false);
    }
  });

  it("refuses what does not add up even where the digest was made anew", async () => {
    // Free text, versions and names that nothing here can know: only the digest, the model or the records can tell. Nor
    // does an overall claim rest on who left, and thresholds of candidates that were not chosen are for the records to
    // confirm.
    const unknowable =
      /^(libraryVersion|numLayers|assumptions|backend|sequenceLength|costs|digest|policy\.(modelHash|headsHash)|documents\.\d+\.hash)|planned$|furtherUnits|^tests\.0\.candidates\.\d+\.left\.|candidates\.\d+\.thresholds|^documents\.\d+\.tokens|cost$/;
    for (const options of [
      { candidates: 3 },
      { claim: "selective", procedure: "byExit", unit: "token", candidates: 3 },
    ] as const) {
      const certificate = await made(options);
      const all = paths(certificate).filter((path) => !unknowable.test(path.join(".")));
      for (const path of sampled(all)) {
        const { valid } = await verifyCertificate(await resealed(mutated(certificate, path)));
        expect(valid, path.join(".")).toBe(false);
      }
    }
  });

  it("says why", async () => {
    const certificate = await made();
    const [test] = certificate.tests;
    const reasonsOf = async (changes: Partial<Certificate>, options = {}): Promise<string> =>
      (await verifyCertificate(await resealed({ ...certificate, ...changes }), options)).reasons.join("; ");
    expect((await verifyCertificate({ ...certificate, delta: 0.01 })).reasons).toContain(
      "digest: the file was changed after it was made",
    );
    expect(await reasonsOf({ split: { ...certificate.split, seed: 99 } })).toMatch(
      /not in the order that seed 99 gives/,
    );
    expect(await reasonsOf({ agreement: 0.95 })).toMatch(/certified for other terms.*p-value/);
    expect(await reasonsOf({ documents: certificate.documents.toReversed() })).toMatch(/another split/);
    const offByOne = { ...test!, accepted: [...test!.accepted, test!.candidates.length - 1] };
    expect(test!.candidates.length).toBeGreaterThan(test!.accepted.length); // the first failure is there
    expect(await reasonsOf({ tests: [offByOne] })).toMatch(/by their p-values it is/);
    expect(await reasonsOf({ promise: "expectation" })).toMatch(/does not promise/);
    expect(await reasonsOf({ unit: "token" })).toMatch(/unit token does not go with claim overall/);
    const lax = certificate.policy.exits.map(({ depth }) => ({ depth, threshold: "always" as const }));
    expect(await reasonsOf({ policy: { ...certificate.policy, exits: lax } })).toMatch(
      /thresholds are not those that were certified/,
    );
    for (const malformed of [null, 3, {}, { ...certificate, tests: undefined }, { ...certificate, policy: null }]) {
      expect((await verifyCertificate(malformed)).reasons.join()).toMatch(/malformed|digest/);
    }
  });

  it("refuses thresholds, counts or a policy that the records do not show", async () => {
    const certificate = await made();
    expect(
      (await verifyCertificate(certificate, { records: { ...records, headsHash: "c".repeat(64) } })).reasons,
    ).toEqual(["records: they are of another model or other heads"]);
    expect((await verifyCertificate(certificate, { records: { ...records, dtype: "int8" } })).reasons.join()).toMatch(
      /stored as int8/,
    );
    expect(
      (await verifyCertificate(certificate, { records: handmadeRecords(150, { seed: 2 }) })).reasons.join(),
    ).toMatch(/is not there/);
    expect(
      (
        await verifyCertificate(certificate, {
          records: { ...records, documents: [...records.documents, ...handmadeRecords(1, { seed: 3 }).documents] },
        })
      ).reasons.join(),
    ).toMatch(/151 documents were recorded/);
    const worse = {
      ...records,
      documents: records.documents.map((document) => ({
        ...document,
        exits: document.exits.map(({ stats, agrees }) => ({ stats, agrees: agrees.map(() => 0) })),
      })),
    };
    expect((await verifyCertificate(certificate, { records: worse })).reasons.join()).toMatch(
      /the certified vector does something else on them/,
    );
  });
});

describe("with the model at hand", () => {
  let heads: ExitHeads;
  const documents = Array.from({ length: 30 }, (_, i) => randomIds(8 + (i % 5), 61, i));
  const options = { agreement: 0.3, delta: 0.3 };
  beforeAll(async () => {
    heads = attachHeads(await smallModel({ device: createReferenceDevice() }), { exits: [1, 3], kind: "tied" });
  });

  it("runs the policy on the test documents, with any fill", async () => {
    const { certificate } = await calibrate(heads, documents, options);
    let seen = 0;
    expect(
      await verifyCertificate(copy(certificate), {
        heads,
        documents: documents.toReversed(),
        onDocument: () => seen++,
      }),
    ).toEqual({ valid: true, reasons: [] });
    expect(seen).toBe(18);
    const runs = await runPolicies(heads, documents, {
      score: "entropy",
      fill: "propagate",
      thresholds: [
        [3.7, "never"],
        [3.8, "never"],
      ],
    });
    const { certificate: propagated } = await calibrateRuns(runs, { agreement: 0.1, delta: 0.4 });
    expect(propagated.policy.exits[0]!.threshold).not.toBe("never");
    expect(await verifyCertificate(copy(propagated), { heads, documents })).toEqual({ valid: true, reasons: [] });
    // The same counts claimed for another fill, digest and all: the run tells.
    const { policy } = propagated;
    const disguised = await resealed({
      ...propagated,
      policy: { ...policy, fill: "lazy", certified: { ...policy.certified!, fill: "lazy" } },
    });
    expect((await verifyCertificate(disguised, { heads, documents })).reasons.join()).toMatch(
      /the policy does something else than stored/,
    );
  });

  it("refuses another model, other heads, other documents", async () => {
    const { certificate } = await calibrate(heads, documents, options);
    const stranger = attachHeads(await smallModel({ device: createReferenceDevice(), seed: 2 }), {
      exits: [1, 3],
      kind: "tied",
    });
    expect((await verifyCertificate(certificate, { heads: stranger })).reasons).toEqual([
      "model: it is not the one that was certified",
      "heads: they are not the ones that were certified",
    ]);
    expect((await verifyCertificate(certificate, { model: stranger.model })).reasons).toHaveLength(1);
    expect(
      (
        await verifyCertificate(certificate, {
          model: await smallModel({ device: createReferenceDevice(), dtype: "int8" }),
        })
      ).reasons,
    ).toEqual(["model: its weights are stored as int8, not as float32"]);
    expect((await verifyCertificate(certificate, { heads, documents: documents.slice(1) })).reasons.join()).toMatch(
      /is not among them/,
    );
    expect(await verifyCertificate(certificate, { records: await recordDocuments(heads, documents), heads })).toEqual({
      valid: true,
      reasons: [],
    });
  });
});

it("the check imports types only; its look at reality nothing of what made the certificate", () => {
  const importsOf = (file: string): string[] =>
    Array.from(
      readFileSync(new URL(`../../../src/calibrate/certificate/${file}`, import.meta.url), "utf8").matchAll(
        /^import (?!type )[^;]*? from "([^"]+)"|\bimport\("([^"]+)"\)/gms,
      ),
      ([, target, late]) => (target ?? late)!,
    );
  expect(importsOf("verify-certificate.ts")).toEqual([]);
  expect(importsOf("verify-reality.ts").filter((target) => /^\.\/|^\.\.\/(?!\.\.)/.test(target))).toEqual([]);
  expect(importsOf("verify.ts")).toEqual(["./verify-certificate.js", "./verify-reality.js"]);
});
