/** Recording documents of which only some positions are judged, and those that are longer than what is judged. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { calibrate, calibrateRecords, recordDocuments, runPolicies, verifyCertificate } from "early-exits/calibrate";
import { attachHeads } from "early-exits";
import { ROW_STATS } from "early-exits/tensor";
import { randomIds, smallConfigs, smallHeads, smallModel } from "../../support/models.js";
import { times } from "../../support/lists.js";

it("recording a document from a position on gives the bits of the whole there, whatever the length", async () => {
  const model = await smallModel();
  const heads = attachHeads(model, { exits: 2 });
  const { vocabSize } = model.config;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(vocabSize - 1), { minLength: 4, maxLength: 24 }),
      fc.nat(22),
      fc.integer({ min: 2, max: 12 }),
      async (ids, at, sequenceLength) => {
        const whole = await recordDocuments(heads, [ids], { sequenceLength });
        const recorded = whole.documents[0]!.positions;
        const from = at % recorded;
        const { documents } = await recordDocuments(heads, [{ ids, from }], { sequenceLength });
        expect(documents[0]!.positions).toBe(recorded - from);
        documents[0]!.exits.forEach(({ stats, agrees }, exit) => {
          const all = whole.documents[0]!.exits[exit]!;
          expect(stats).toEqual(all.stats.slice(from * ROW_STATS.width));
          expect(agrees).toEqual(all.agrees.slice(from));
        });
      },
    ),
    { numRuns: 40 },
  );
  heads.dispose();
});

describe("documents longer than what is judged", () => {
  const sequenceLength = 9;
  const options = { agreement: 0.3, delta: 0.3, candidates: 3, sequenceLength } as const;
  const documents = times(24, (d) => ({ ids: randomIds(6 + d, 59, d), from: d % 11 }));
  const beginnings = documents.map(({ ids, from }) => ({ ids: ids.slice(0, sequenceLength), from }));

  it("keep their beginning, never a middle: in records, runs, certificates and their verification", async () => {
    const heads = await smallHeads({ kind: "dense" }, { gain: 10 });
    const plain = <Record extends { readonly cut?: true }>({ cut, ...record }: Record) => [cut ?? false, record];
    const judged = documents.filter(({ from }) => from < sequenceLength);
    const records = await recordDocuments(heads, documents, { sequenceLength });
    const short = await recordDocuments(heads, beginnings);
    expect(records.documents.map(plain)).toEqual(
      short.documents.map((record, d) => [judged[d]!.ids.length > sequenceLength, record]),
    );
    const candidates = { score: "maxProb", fill: "lazy", thresholds: [[0.05, 0.05]] } as const;
    const runs = await runPolicies(heads, documents, candidates, { sequenceLength });
    expect(runs.documents.map((one) => plain(one)[1])).toEqual(
      (await runPolicies(heads, beginnings, candidates)).documents,
    );

    const { certificate, notes } = await calibrate(heads, documents, options);
    expect(certificate).toMatchObject({ ...(await calibrate(heads, beginnings, options)).certificate });
    expect(notes.cut).toBe(judged.filter(({ ids }) => ids.length > sequenceLength).length);
    expect((await calibrateRecords(records, options)).notes.cut).toBe(notes.cut);
    expect(certificate.policy.certified).toMatchObject({ length: sequenceLength });
    for (const given of [documents, beginnings]) {
      const { verdict, sentence } = await verifyCertificate(certificate, { heads, documents: given });
      expect([verdict, sentence]).toEqual(["reproduced", expect.stringContaining("in texts of at most 9 tokens")]);
    }
  });

  it("are, by default, judged in their whole context of up to 2048 tokens", async () => {
    const heads = attachHeads(
      await smallModel({ config: { ...smallConfigs["llama"], max_position_embeddings: 4096 } }),
    );
    const long = { ids: randomIds(700, 61, 1), from: 290 };
    const { documents, sequenceLength: length } = await recordDocuments(heads, [long]);
    const whole = await recordDocuments(heads, [long.ids], { sequenceLength: 300 });
    expect([length, documents[0]!.positions]).toEqual([2048, 700 - 290]);
    const row = ROW_STATS.width;
    expect(documents[0]!.exits[0]!.stats.slice(0, 10 * row)).toEqual(
      whole.documents[0]!.exits[0]!.stats.slice(290 * row),
    );
  });
});
