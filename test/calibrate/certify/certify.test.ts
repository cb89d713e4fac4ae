/** Certification from records: losses, the split of the documents, and refusals. */
import { OptionError, type Policy } from "early-exits";
import { createRng } from "early-exits/tensor";
import { calibrateRecords, describeClaim, playPolicy } from "early-exits/calibrate";
import { expect, it } from "vitest";
import { promiseOf } from "../../../src/exits/promise.js";
import { expectCode } from "../../support/expect-code.js";
import { handmadeRecords, withExits } from "../../support/records.js";
import { sumOf } from "../../support/lists.js";
import { verdictOf } from "../../support/verdict.js";

const exits = ({ exits: list }: Policy) => list.map(({ threshold }) => threshold);

const records = handmadeRecords(200);

it("says which texts the promise speaks of, in one line", async () => {
  const population = "chat prompts, English; answers of at most 144 tokens";
  const { policy, certificate } = await calibrateRecords(records, { agreement: 0.9, population });
  expect(describeClaim(certificate)).toContain(`(certified on: ${population})`);
  const terms = { policy, lossless: false, sampling: { temperature: 0 }, observed: false };
  expect(promiseOf(terms)).toMatchObject({ kind: "certified", population });
  expect(await verdictOf(certificate, { records })).toBe("reproduced");
  for (const wrong of ["", " ", "two\nlines", "\u001b[2J", "x".repeat(201), 5 as never]) {
    const refused = calibrateRecords(records, { population: wrong });
    await expect(refused, JSON.stringify(wrong)).rejects.toThrow(/is not one line of 1 to 200 characters/);
  }
});

it("makes no certificate that nobody could open", () =>
  expectCode(calibrateRecords({ ...records, headsHash: "mine" }), "certificate-refuted", "expected a SHA-256"));

it("certifies an overall agreement per document by default, and the policy keeps it on other documents", async () => {
  const { policy, certificate } = await calibrateRecords(records, { agreement: 0.9 });
  expect(certificate).toMatchObject({
    loss: "token",
    unit: "document",
    agreement: 0.9,
    delta: 0.05,
    furtherUnits: 0,
    split: { seed: 0, grid: 80 },
  });
  expect(certificate.policy).toEqual(policy);
  expect(policy.certified).toMatchObject({
    loss: "token",
    fill: "lazy",
    dtype: "float32",
    thresholds: exits(policy),
  });
  const { chosen, candidates, accepted } = certificate.test!;
  expect(chosen).toBeLessThan(accepted);
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
  expect(sumOf(certificate.accepted.losses, (loss) => loss / 120)).toBeCloseTo(1 - measured.documentAgreement, 12);
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

it("chooses the score with the lowest expected cost on the grid split", async () => {
  // Meaningless margins: only entropies are informative.
  const rng = createRng(9);
  const meaningless = withExits(records, ({ stats, agrees }) => ({
    agrees,
    stats: stats.map((value, i) => (i % 5 === 1 ? 1 + rng.uniform() : value)),
  }));
  expect((await calibrateRecords(meaningless, { agreement: 0.9 })).policy.score).toBe("entropy");
});

it("leaves out an exit whose head is not worth its cost", async () => {
  const certified = ([first, second]: readonly [number, number]) => {
    const ledger = { ...records.ledger, heads: [first, second] };
    return calibrateRecords({ ...records, ledger }, { agreement: 0.9 });
  };
  expect(exits((await certified([400, 20])).policy)).toEqual(["never", expect.any(Number)]);
  expect((await certified([400, 400])).certificate.test).toBeNull();
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
  const all = (agree: 0 | 1) => withExits(records, ({ stats, agrees }) => ({ stats, agrees: agrees.map(() => agree) }));
  for (const options of [{}, { loss: "anyChange" }] as const) {
    // A share of all tokens may be wrong, so a few leave; if no token may change in most documents, none does.
    const { certificate: wrong } = await calibrateRecords(all(0), options);
    expect(wrong.measured.coverage).toBeLessThanOrEqual("loss" in options ? 0 : 0.05);
    const { policy, certificate } = await calibrateRecords(all(1), options);
    expect(certificate.measured.coverage).toBeGreaterThan(0.95);
    expect(playPolicy(all(1), policy).agreement).toBe(1);
  }
});

it("refuses options and records that make no sense", async () => {
  const refused = async (options: Parameters<typeof calibrateRecords>[1], from = records) =>
    await expect(calibrateRecords(from, options), JSON.stringify(options)).rejects.toThrow(OptionError);
  for (const level of [0, 1, -1, 2, NaN, Infinity]) {
    await refused({ agreement: level });
    await refused({ delta: level });
  }
  const wrong = [{ unit: "token" }, { candidates: 0 }, { gridShare: 1 }, { seed: -1 }, { fill: "project" }];
  for (const options of [...wrong, { loss: "totalVariation" }]) await refused(options as object);
  await refused({}, handmadeRecords(1));
  const broken = handmadeRecords(20);
  broken.documents[3]!.exits[1]!.stats[4] = NaN;
  await expect(calibrateRecords(broken, { score: "entropy" })).rejects.toThrow(/a score of exit 1 is not finite/);
  const { documents } = records;
  const exit = { stats: new Float32Array(), agrees: new Uint8Array() };
  const empty = { hash: "f".repeat(64), positions: 0, exits: [exit, exit] };
  await refused({}, { ...records, documents: [...documents, empty] });
  const short = documents.map((document) => ({ ...document, exits: document.exits.slice(0, 1) }));
  await refused({}, { ...records, documents: short });
});
