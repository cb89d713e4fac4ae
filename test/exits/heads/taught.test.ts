/** Heads know which text taught them, and calibration leaves it out. */
import { attachHeads, calibrate, trainHeads } from "early-exits";
import { verifyCertificate } from "early-exits/calibrate";
import { answerDocument, type Document } from "early-exits/model";
import { createRng } from "early-exits/tensor";
import { expect, it } from "vitest";
import { deserializeHeads } from "../../../src/exits/heads/deserialize-heads.js";
import { taughtBy, nothingTaught, taughtTest } from "../../../src/exits/heads/taught.js";
import { onlineBatches } from "../../../src/exits/states/batches.js";
import { markedDocument } from "../../../src/model/documents.js";
import { sharedWasm } from "../../support/devices.js";
import { times } from "../../support/lists.js";
import { reread, smallByteModel } from "../../support/models.js";

const model = await smallByteModel({ device: await sharedWasm() });
const rng = createRng(3);
const text = (words: number) => times(words, () => `w${rng.integer(5000)}`).join(" ");
const ids = (of: string) => model.tokenizer.encode(of, { addSpecialTokens: false });

it("is dropped by calibrate before the split, counted, checked, and refused if too little is left", async () => {
  const texts = times(24, () => text(6));
  const fresh = times(16, () => text(6));
  const heads = attachHeads(model, { exits: [1, 2], kind: "linear" });
  await trainHeads(heads, texts, { steps: 1, batchSize: 1 });
  const options = { agreement: 0.3, delta: 0.4, candidates: 2 };
  await expect(calibrate(heads, texts.slice(0, -1), options)).rejects.toMatchObject({ code: "documents-taught" });
  const all = [...texts.slice(0, 5), ...fresh];
  const { certificate } = await calibrate(heads, all, options);
  expect([certificate.taught, certificate.documents.length]).toEqual([5, fresh.length]);
  expect(certificate.assumptions).not.toContain("training-unknown");
  expect((await verifyCertificate(certificate, { heads, documents: all })).verdict).toBe("reproduced");
  const { reasons } = await verifyCertificate(certificate, { heads, documents: fresh });
  expect(reasons).toEqual(["documents: 0 of them taught the heads; 5 is stored"]);

  const { again: read, description, weights } = await reread(heads);
  expect([read.taught, await read.hash()]).toEqual([heads.taught, await heads.hash()]);
  const unknown = await deserializeHeads(model, { ...description, taught: undefined }, weights);
  const trusting = await calibrate(unknown, all, options);
  expect(trusting.certificate).not.toHaveProperty("taught");
  expect(trusting.certificate.assumptions).toContain("training-unknown");
  const again = await verifyCertificate(trusting.certificate, { heads: unknown, documents: all });
  expect(again.verdict).toBe("reproduced");
});

it("is known of text and of states that name theirs, and of no others", async () => {
  const heads = attachHeads(model, { exits: [1, 2], kind: "linear" });
  expect(heads.taught).toBe(nothingTaught);
  const texts = [text(30), text(30)];
  const source = onlineBatches(model, texts, heads.depths, {});
  await trainHeads(heads, source, { steps: 1 });
  expect(heads.taught).toEqual(await taughtBy({ model, taught: nothingTaught }, texts));
  await trainHeads(heads, { batch: (step) => source.batch(step) }, { steps: 1 });
  await trainHeads(heads, texts, { steps: 1 });
  expect(heads.taught).toBeUndefined();
});

it("is found in other spelling and with a word in 50 replaced, not by what documents share", async () => {
  const [prompt, other, answer, second, header] = [text(600), text(600), text(600), text(600), text(20)];
  const long = text(2000);
  const learned: Document[] = [long, text(3), answerDocument(ids(prompt), ids(answer)), `${header} ${text(600)}`];
  const isTaught = taughtTest({ model, taught: await taughtBy({ model, taught: nothingTaught }, learned) });
  const words = long.split(" ");
  const cases: readonly (readonly [Document, boolean])[] = [
    [long.toUpperCase().replaceAll(" ", "\n "), true],
    [words.map((word, i) => (i % 50 === 7 ? "new" : word)).join(" "), true],
    [words.slice(0, 1500).join(" "), true],
    [`${words.slice(0, 300).join(" ")} ${text(1500)}`, false],
    [learned[1]!, true],
    [`${learned[1] as string} more`, false],
    [`${header} ${text(600)}`, false],
    [answerDocument(ids(prompt), ids(second)), false],
    [answerDocument(ids(other), ids(answer)), true],
    [text(600), false],
  ];
  expect(cases.map(([document]) => isTaught(markedDocument(model, document)))).toEqual(cases.map(([, is]) => is));
});

it("takes 11 bytes a document, and still finds nearly all of much text", async () => {
  const many = times(40_000, (d) => [d % 251, d % 241, d % 239]);
  const taught = await taughtBy({ model, taught: nothingTaught }, many);
  expect(JSON.stringify(taught).length).toBeLessThan(440_000);
  const isTaught = taughtTest({ model, taught });
  expect(many.filter((own) => isTaught({ ids: own })).length).toBeGreaterThan(39_000);
});
