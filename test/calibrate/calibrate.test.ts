/** Calibration of heads on text: streaming, the policy's binding to its certificate, and resuming from a store. */
import { calibrate, generate, type Policy } from "early-exits";
import { calibrateRecords, policyFrom, recordDocuments } from "early-exits/calibrate";
import type { CacheStore } from "early-exits/exits";
import { expect, it } from "vitest";
import { registerCertified } from "../../src/exits/plan/policy.js";
import { sharedWasm } from "../support/devices.js";
import { finish } from "../support/lossless.js";
import { giveProjections, randomIds, smallHeads } from "../support/models.js";
import { expectCode } from "../support/expect-code.js";

const documents = Array.from({ length: 24 }, (_, i) => randomIds(8 + (i % 9), 61, i));
const heads = await giveProjections(await smallHeads({}, { device: await sharedWasm() }));

it("streams documents and gives the same certificates as one recording in memory", async () => {
  const records = await recordDocuments(heads, documents);
  for (const options of [
    { agreement: 0.3, delta: 0.3 },
    { agreement: 0.1, delta: 0.3, loss: "anyChange", seed: 3 },
  ] as const) {
    expect(await calibrate(heads, documents, options)).toEqual(await calibrateRecords(records, options));
  }
});

it("promises for the policy as it is, on weights stored as it says; for no copy, and nothing changed", async () => {
  const { policy, certificate } = await calibrate(heads, documents, { agreement: 0.3, delta: 0.3 });
  expect(policy.exits.some(({ threshold }) => threshold !== "never")).toBe(true); // otherwise the test shows little
  const promiseOf = async (changed: Policy) => {
    const run = generate(heads, [1, 2], { policy: changed, maxNewTokens: 2 });
    return (await finish(run)).promise;
  };
  expect(await promiseOf(policy)).toMatchObject({ kind: "certified", agreement: 0.3 });
  const reads = [certificate, structuredClone(certificate)].map((json) => policyFrom(json));
  for (const read of reads) expect(await promiseOf(read)).toMatchObject({ kind: "certified" });
  const always = policy.exits.map(({ depth }) => ({ depth, threshold: "always" as const }));
  const lies: Policy[] = [
    { ...policy, fill: "project" },
    { ...policy, exits: always },
    { ...policy, certified: {} as never },
    structuredClone(policy),
    Object.assign(reads[1]!, { exits: always }), // changed after it was opened
  ];
  for (const lie of lies) expect(await promiseOf(lie)).toEqual({ kind: "none", reason: "unchecked" });
  const coarse = registerCertified({ ...policy, certified: { ...policy.certified!, dtype: "int8" } });
  await expectCode(promiseOf(coarse), "policy-dtype");
});

it("resumes from a store after an interruption, with the same result", async () => {
  const files = new Map<string, Uint8Array>();
  let reads = 0;
  let writes = 0;
  const store: CacheStore = {
    read: (name) => Promise.resolve((reads++, files.get(name))),
    write: (name, bytes) => Promise.resolve(void (writes++, files.set(name, bytes))),
  };
  for (const fill of ["lazy", "project"] as const) {
    const options = { agreement: 0.3, delta: 0.3, fill, candidates: 3, batchSize: 4 };
    const controller = new AbortController();
    let steps = 0;
    const count = () => {
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
  await expectCode(calibrate(heads, [[]]), "documents-empty");
  await expectCode(calibrate(heads, [[1, 2, 3]]), "documents-few");
});
