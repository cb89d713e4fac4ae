/** Lies about certificates (lab/lies): a short form of `tsx lab/lies/run.ts`, which tries 200,000 and 2,000 of them. */
import { calibrate, checkCertificate, type ExitHeads, generate, type Policy, verifyCertificate } from "early-exits";
import {
  calibrateRecords,
  type CalibrationRecords,
  certificateFrom,
  policyFrom,
  recordDocuments,
} from "early-exits/calibrate";
import { PolicyError } from "early-exits/exits";
import { createRng } from "early-exits/tensor";
import { beforeAll, describe, expect, it } from "vitest";
import { realityLie, realityLies } from "../../../lab/lies/reality-lies.js";
import { storedLie, storedLies } from "../../../lab/lies/stored-lies.js";
import { sealCertificate } from "../../../src/calibrate/certificate/certificate.js";
import { finish } from "../../support/lossless.js";
import { forge, forgeries } from "../../support/forgeries.js";
import { randomIds, smallHeads } from "../../support/models.js";
import { handmadeRecords } from "../../support/records.js";

describe("lies that contradict the stored counts", () => {
  it.for(storedLies)("are refused without the model: %s", async (kind) => {
    const records = handmadeRecords(60);
    for (const options of [{ agreement: 0.8 }, { agreement: 0.3, loss: "anyChange" }] as const) {
      const { certificate } = await calibrateRecords(records, { ...options, candidates: 4 });
      expect((await verifyCertificate(certificate)).verdict).toBe("arithmetic consistent");
      expect(certificate.test!.accepted).toBeGreaterThan(0);
      const root = createRng(5);
      for (let i = 0; i < 40; i++) {
        const lie = await storedLie(certificate, kind, root.fork(`${kind} ${i}`));
        if (lie === undefined) continue;
        expect((await verifyCertificate(lie)).verdict, `${certificate.loss} ${kind}, seed 5, ${i}`).toBe("refuted");
      }
    }
  });
});

describe("lies whose arithmetic is consistent", () => {
  let heads: ExitHeads;
  let truth: CalibrationRecords;
  const documents = Array.from({ length: 30 }, (_, i) => randomIds(8 + (i % 5), 61, i));
  beforeAll(async () => {
    heads = await smallHeads();
    truth = await recordDocuments(heads, documents);
  });

  it.for(realityLies)("are refused with model, heads and text: %s", async (kind) => {
    const options = { agreement: 0.3, delta: 0.3 };
    const root = createRng(7);
    for (let i = 0; i < 3; i++) {
      const lie = await realityLie(truth, options, kind, root.fork(`${kind} ${i}`));
      if (lie === undefined) continue;
      expect((await verifyCertificate(lie)).reasons).toEqual([]);
      const { verdict } = await verifyCertificate(lie, { heads, documents, rerun: [] });
      expect(verdict, `${kind}, seed 7, ${i}`).toBe("refuted");
    }
  });
});

describe("forged policies", () => {
  it.for(forgeries)(
    "promise nothing, in a certificate or alone, and are refuted if sealed anew: %s",
    async ([, lie]) => {
      const heads = await smallHeads();
      const documents = Array.from({ length: 30 }, (_, i) => randomIds(8 + (i % 5), 61, i));
      const { certificate } = await calibrate(heads, documents, { agreement: 0.3, delta: 0.3 });
      expect(await promiseOf(heads, policyFrom(certificate))).toBe("certified");
      const forged = forge(certificate, lie);
      const { certified } = certificate.policy;
      for (const json of [forged, JSON.parse(JSON.stringify(forged)) as unknown]) {
        expect(() => policyFrom(json)).toThrow(PolicyError);
        expect(() => checkCertificate(json)).toThrow(/^certificate: .*; use an unchanged copy.*calibrate again/);
      }
      for (const policy of [forged.policy, policyFrom(forged.policy), { ...forged.policy, certified: certified! }]) {
        expect(await promiseOf(heads, policy)).toMatch(/^(none|policy-model|policy-heads)$/);
      }
      const { digest, ...content } = forged;
      expect(digest).toBe(certificate.digest);
      const { verdict } = await verifyCertificate(await sealCertificate(content), { heads, documents, rerun: [] });
      expect(verdict).toBe("refuted");
    },
  );
});

async function promiseOf(heads: ExitHeads, policy: Policy): Promise<string> {
  try {
    const { promise } = await finish(generate(heads, [1, 2], { policy, maxNewTokens: 2 }));
    return promise.kind;
  } catch (error) {
    return (error as PolicyError).code;
  }
}

describe("hostile numbers", () => {
  it("are answered at once: agreement 1e300, counts 1e290, 3e8 documents", async () => {
    const { certificate } = await calibrateRecords(handmadeRecords(60), { agreement: 0.8 });
    const { test } = certificate;
    const hostile = [
      { ...certificate, agreement: 1e300 },
      { ...certificate, agreement: 1 - 2 ** -53 },
      { ...certificate, test: { ...test!, planned: 3e8 } },
      { ...certificate, documents: new Array<unknown>(3e8) },
      { ...certificate, accepted: { ...certificate.accepted, left: certificate.accepted.left.map(() => 1e290) } },
      { ...certificate, documents: certificate.documents.map((document) => ({ ...document, tokens: 1e290 })) },
      { ...certificate, test: { ...test!, accepted: 1e300 } },
    ];
    for (const lie of hostile) {
      const begin = performance.now();
      expect((await verifyCertificate(lie)).verdict).toBe("refuted");
      expect(performance.now() - begin).toBeLessThan(2000);
    }
  });
});

describe("the policy that runs", () => {
  it("is the one in the certificate; a file with another one beside it is refused", async () => {
    const { certificate, policy } = await calibrateRecords(handmadeRecords(60), { agreement: 0.8 });
    expect(policyFrom(JSON.parse(JSON.stringify(certificate)))).toEqual(policy);
    const lax = { ...policy, exits: policy.exits.map(({ depth }) => ({ depth, threshold: "always" })) };
    const file: unknown = { policy: lax, certificate };
    expect(() => policyFrom(file)).toThrow(expect.objectContaining({ code: "certificate-beside" }));
    expect(() => certificateFrom(file)).toThrow(expect.objectContaining({ code: "certificate-beside" }));
    expect(() => policyFrom({ ...certificate, version: 1 })).toThrow(/calibrate again/);
    expect(() => policyFrom({ ...certificate, version: 2 })).toThrow(/scripts\/convert\.ts/);
    expect(() => policyFrom({ ...certificate, version: 4 })).toThrow(/update the library/);
    expect((await verifyCertificate({ ...certificate, policy: lax })).verdict).toBe("refuted");
  });
});
