/** Calibration as published: the policy and its report; a defect in cascades: test/laws/validity.test.ts. */
import { attachHeads } from "early-exits";
import { calibratePaper, policyFrom, recordDocuments } from "early-exits/calibrate";
import { expect, it } from "vitest";
import { randomIds, smallModel } from "../../support/models.js";
import { expectCode } from "../../support/expect-code.js";

const heads = attachHeads(await smallModel(), { exits: [1, 3] });
const records = await recordDocuments(
  heads,
  Array.from({ length: 6 }, (_, i) => randomIds(20 + i, 61, i)),
);

it("returns a policy bound to model and heads, and a report that guarantees nothing", async () => {
  const { policy, certificate } = calibratePaper(records, { agreement: 0.5 });
  expect([policy.modelHash, policy.headsHash]).toEqual([await heads.model.hash(), await heads.hash()]);
  expect(certificate).toMatchObject({ procedure: "paper", guarantee: "none", agreement: 0.5 });
  expect(certificate.measured.exits.map(({ reached }) => reached)[0]).toBe(certificate.measured.positions);
  expect(policyFrom(JSON.parse(JSON.stringify({ policy, certificate })))).toEqual(policy);
  expect(policyFrom(JSON.parse(JSON.stringify(policy)))).toEqual(policy);
});

it("rejects levels outside (0, 1), empty documents, and files that are no policies, or of other versions", async () => {
  expect(() => calibratePaper(records, { agreement: 1 })).toThrow(/agreement: expected a number in \(0, 1\), found 1/);
  await expectCode(recordDocuments(heads, [[]]), "documents-empty");
  for (const json of [null, { format: "something" }]) {
    await expectCode(() => policyFrom(json), "policy-format", 'expected {"format": "early-exits/policy"');
  }
  await expectCode(() => policyFrom({ format: "early-exits/policy", version: 2 }), "policy-version", "only 1");
});
