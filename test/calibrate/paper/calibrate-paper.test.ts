/** Calibration as published: what is recorded, the policy and report, and a defect in cascades. */
import { attachHeads } from "early-exits";
import { createRng } from "early-exits/tensor";
import { calibratePaper, type CalibrationRecords, policyFrom, recordDocuments } from "early-exits/calibrate";
import { describe, expect, it } from "vitest";
import { randomIds, smallModel } from "../../support/models.js";

/** The subject of records written by hand. */
const subject = {
  modelHash: "",
  headsHash: "",
  dtype: "float32",
  backend: "reference",
  ledger: { block: 1, heads: [1, 1], unembedding: 1, fills: {} },
} as const;

describe("calibrate by the paper's procedure", () => {
  const setup = async () => {
    const model = await smallModel();
    const heads = attachHeads(model, { exits: [1, 3] });
    return { heads, documents: Array.from({ length: 6 }, (_, i) => randomIds(20 + i, 61, i)) };
  };

  it("returns a policy bound to model and heads, and a report that guarantees nothing", async () => {
    const { heads, documents } = await setup();
    const { policy, certificate } = calibratePaper(await recordDocuments(heads, documents), { agreement: 0.5 });
    expect([policy.modelHash, policy.headsHash]).toEqual([await heads.model.hash(), await heads.hash()]);
    expect(certificate).toMatchObject({ procedure: "paper", guarantee: "none", agreement: 0.5 });
    expect(certificate.measured.exits.map(({ reached }) => reached)[0]).toBe(certificate.measured.positions);
    expect(policyFrom(JSON.parse(JSON.stringify({ policy, certificate })))).toEqual(policy);
    expect(policyFrom(JSON.parse(JSON.stringify(policy)))).toEqual(policy);
  });

  it("rejects levels outside (0, 1), empty documents and files that are not policies", async () => {
    const { heads, documents } = await setup();
    const records = await recordDocuments(heads, documents);
    expect(() => calibratePaper(records, { agreement: 1 })).toThrow(
      /agreement: expected a number in \(0, 1\), found 1/,
    );
    await expect(recordDocuments(heads, [[]])).rejects.toMatchObject({ code: "documents-empty" });
    expect(() => policyFrom({ format: "something" })).toThrow(/expected \{"format": "early-exits\/policy"/);
    expect(() => policyFrom(null)).toThrow(/policy/);
  });

  it("calibrates the second head on tokens it never answers: agreement 0.91 on all, far less on its own", () => {
    // Nine in twenty tokens are easy: both heads are confident and right. On the others the second head is as
    // confident, and right with probability 0.835.
    const rng = createRng(5);
    const exit = (entropies: number[], agrees: boolean[]) => ({
      stats: Float32Array.from(entropies.flatMap((entropy) => [0, 0, 0, 0, entropy])),
      agrees: Uint8Array.from(agrees, Number),
    });
    const tokens = Array.from({ length: 40_000 }, () => ({ easy: rng.uniform() < 0.45, right: rng.uniform() < 0.835 }));
    const records: CalibrationRecords = {
      ...subject,
      depths: [1, 2],
      numLayers: 3,
      sequenceLength: 256,
      documents: [
        {
          hash: "",
          positions: tokens.length,
          exits: [
            exit(
              tokens.map(({ easy }) => (easy ? 0.1 : 5)),
              tokens.map(({ easy }) => easy),
            ),
            exit(
              tokens.map(() => 0.1),
              tokens.map(({ easy, right }) => easy || right),
            ),
          ],
        },
      ],
    };
    const { certificate } = calibratePaper(records, { agreement: 0.9 });
    expect(certificate.guarantee).toBe("none");
    const [first, second] = certificate.measured.exits;
    expect(first!.agreement).toBe(1);
    expect(second!.left).toBeGreaterThan(20_000);
    expect(second!.agreement).toBeLessThan(0.85); // the target was 0.9
  });
});
