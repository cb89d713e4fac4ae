/** Arguments that TypeScript would refuse: each function says in a sentence what it takes. */
import {
  attachHeads,
  calibrate,
  createPolicy,
  evaluate,
  fitProjections,
  generate,
  generateBatch,
  splitDocuments,
  trainHeads,
  verifyCertificate,
} from "early-exits";
import { ChatSession, fitMaps, fitPreviews, measureDrafts, measureExits } from "early-exits/exits";
import { pretrain } from "early-exits/model";
import { createDevice, readModel, readPolicy, writeHeads } from "early-exits/node";
import { riskControl } from "early-exits/risk";
import { expect, it } from "vitest";
import { markedDocument } from "../../src/model/documents.js";
import { certifiedPolicy } from "../support/certified.js";
import { expectCode } from "../support/expect-code.js";
import { finish } from "../support/lossless.js";
import { smallByteModel, smallHeads } from "../support/models.js";

const heads = await smallHeads();
const { model } = heads;
/** Arguments of a program without types. */
const untyped = (value: unknown) => value as never;

it("an option that a function does not have is refused with the nearest that it has", async () => {
  const calls: ((options: never) => unknown)[] = [
    ...[
      generate,
      trainHeads,
      fitMaps,
      fitPreviews,
      fitProjections,
      measureDrafts,
      measureExits,
      calibrate,
      createPolicy,
      evaluate,
    ].map((run) => (options: never) => run(heads, untyped([]), options)),
    (lossless) => generate(model, [1], { lossless }),
    (options) => new ChatSession(model, options),
    (options) => attachHeads(model, options),
    (preview) => attachHeads(model, { preview }),
    (loss: object) => trainHeads(heads, [], { loss: { kind: "kl", ...loss } }),
    (options) => createDevice("wasm", options),
    (options) => readModel("models/sotu-6", options),
    (options) => readPolicy("models/sotu-12", options),
    (options) => pretrain(model, new Uint32Array(), options),
    (options) => splitDocuments("text", options),
    (options) => verifyCertificate({}, options),
  ];
  for (const call of calls) {
    await expectCode(() => call(untyped({ maxTokens: 3 })), "option-unknown", /no option maxTokens; the nearest is/);
    await expectCode(() => call(untyped("text")), "option-unknown", "is {");
  }
  expect(() => calls[0]!(untyped({ maxTokens: 3 }))).toThrow("the nearest is { maxNewTokens:");
  expect(() => riskControl([[0]], untyped({ alpha: 0.1 }))).toThrow("the nearest is { epsilon:");
});

it("text for a list, a model for heads, a path for a policy or a tokenizer, an unknown dtype is refused", async () => {
  await expectCode(
    trainHeads(heads, untyped({ train: [] })),
    "list-expected",
    /^training: documents: .* found {"train"/,
  );
  await expectCode(calibrate(heads, untyped("text")), "list-expected", /^calibrate: documents: /);
  await expectCode(() => generateBatch(model, untyped("text")), "list-expected", /^generateBatch: prompts: /);
  await expectCode(calibrate(untyped(model), []), "heads-expected", /^calibrate: /);
  await expectCode(writeHeads(untyped(heads), untyped("folder")), "heads-expected");
  await expectCode(finish(generate(heads, [1], { policy: untyped("p.json") })), "policy-format", "readPolicy");
  for (const option of ["dtype", "kvCache", "unembedding", "signal", "onProgress", "eosTokenIds", "tokenizer"]) {
    await expectCode(readModel("models/sotu-6", { [option]: "f16" }), "option-unknown", /^readModel: .*"f16"/);
  }
});

it("a model without a device gets one, a policy is found by its level, or a sentence says what to give", async () => {
  const { device } = await readModel("models/sotu-6");
  expect(device.backend).toBe("wasm");
  await device.dispose();
  for (const folder of ["models/sotu-12", "models/sotu-12/certificates"]) {
    expect(await readPolicy(folder, { level: 0.9 })).toMatchObject({ certified: { agreement: 0.9 } });
    await expectCode(readPolicy(folder), "policy-missing", "as in { level: 0.95 }");
  }
  const other = readPolicy("models/sotu-12/certificates/80.json", { level: 0.9 });
  await expectCode(other, "policy-level", /80\.json: .* 0.8, not for/);
});

it("a document may hold text; a whole text is that of its tokens, of none begun, and needs a tokenizer", async () => {
  const spelled = await smallByteModel();
  expect(markedDocument(spelled, { text: "The sea" })).toEqual(markedDocument(spelled, "The sea"));
  const run = generate(spelled, "The sea", { maxNewTokens: 8 });
  const text = await run.text();
  expect(text).toBe(run.summary.text);
  await expectCode(run.text(), "text-begun", /summary\.text/);
  const begun = generate(spelled, "The sea", { maxNewTokens: 8 });
  expect((await finish(begun)).text).toBe(text);
  await expectCode(begun.text(), "text-begun");
  await expectCode(generate(heads, [1]).text(), "tokenizer-missing", "summary.ids");
});

it("a certificate stands for its policy once its seal is checked", async () => {
  const policy = await certifiedPolicy(heads, {});
  const certificate = { format: "early-exits/certificate", policy } as const;
  const [run, same] = await Promise.all(
    [policy, certificate].map((one) => finish(generate(heads, [1, 2], { policy: one, maxNewTokens: 4 }))),
  );
  expect([same!.ids, same!.promise]).toEqual([run!.ids, run!.promise]);
  await expectCode(() => generate(heads, [1], { policy: structuredClone(certificate) }), "certificate-unopened");
});
