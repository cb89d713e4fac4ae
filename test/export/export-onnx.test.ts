/** Parts of an export, and what cannot be exported. That graphs compute the same is in test/runtimes. */
import { attachHeads, calibrate, createPolicy } from "early-exits";
import { exportOnnx } from "early-exits/export";
import { describe, expect, it } from "vitest";
import { randomDocuments, smallConfigs, smallModel } from "../support/models.js";
import { expectCode } from "../support/expect-code.js";

const length = async (parts: AsyncIterable<Uint8Array>) => {
  let bytes = 0;
  for await (const part of parts) bytes += part.length;
  return bytes;
};

describe("stretches", () => {
  it("end at the exits that let tokens leave, and at the last block", async () => {
    const heads = attachHeads(await smallModel(), { exits: [1, 2, 3], kind: "linear" });
    const { manifest, graphs } = await exportOnnx(heads, { policy: createPolicy(heads, [2, "never", "always"]) });
    expect(graphs.map(({ name }) => name)).toEqual(["stretch-0.onnx", "stretch-1.onnx", "stretch-2.onnx"]);
    expect(manifest.stretches.map(({ begin, end, caches }) => [begin, end, caches])).toEqual([
      [0, 1, [0]],
      [1, 3, [1, 2]],
      [3, 4, [3]],
    ]);
    expect(manifest.stretches.map(({ exit }) => exit)).toEqual([
      { index: 0, depth: 1, threshold: 2 },
      { index: 2, depth: 3, threshold: "always" },
      undefined,
    ]);
    expect(manifest.score).toEqual({ name: "entropy", leaves: "low" });
  });

  it("above shared keys and values take the newest row alone", async () => {
    const heads = attachHeads(await smallModel({ config: smallConfigs["llama, shared keys and values"]! }), {
      exits: [1, 3],
      kind: "linear",
    });
    const { manifest } = await exportOnnx(heads, { policy: createPolicy(heads, 1, { fill: "shared" }) });
    expect(manifest.stretches.map(({ newestRow, reads }) => [newestRow, reads])).toEqual([
      [false, []],
      [false, []],
      [true, [1]],
    ]);
    expect(manifest.fill).toBe("lazy");
  });
});

describe("weights", () => {
  it("are in the file once, tied embeddings and heads on the model's rows too", async () => {
    const config = { ...smallConfigs["llama"]!, tie_word_embeddings: true };
    const heads = attachHeads(await smallModel({ config }), { exits: [1, 2], kind: "linear" });
    const plain = await exportOnnx(heads.model);
    const exits = await exportOnnx(heads, { policy: createPolicy(heads, 1) });
    const { hiddenSize: c } = heads.model.config;
    const added = exits.manifest.weights.bytes - plain.manifest.weights.bytes;
    const own = 2 * 4 * (c * c + 2 * c); // two maps with their biases and gains
    expect(added).toBeGreaterThanOrEqual(own);
    expect(added).toBeLessThan(own + 6 * 64); // each at a multiple of 64 bytes
  });

  it("fill the file to the length that the manifest says", async () => {
    const exported = await exportOnnx(await smallModel());
    expect(await length(exported.weights())).toBe(exported.manifest.weights.bytes);
  });
});

it("holds the certificate of its policy, and refuses another", async () => {
  const heads = attachHeads(await smallModel({ gain: 4 }), { exits: [2], kind: "dense" });
  const documents = randomDocuments(60, 24, 0, 59);
  const { policy, certificate } = await calibrate(heads, documents, { agreement: 0.2, delta: 0.2 });
  const exported = await exportOnnx(heads, { policy, certificate });
  expect(exported.certificate).toEqual(certificate);
  expect(exported.manifest.certificate).toEqual({ file: "certificate.json", digest: certificate.digest });
  for (const other of [createPolicy(heads, 1), { ...createPolicy(heads, 1), exits: policy.exits }]) {
    await expectCode(exportOnnx(heads, { policy: other, certificate }), "export-certificate");
  }
});

describe("cannot be exported", () => {
  it("a model that is not stored as float32", async () => {
    for (const options of [{ dtype: "int8" }, { dtype: "bfloat16" }, { kvCache: "int8" }] as const) {
      await expectCode(exportOnnx(await smallModel(options)), "export-dtype");
    }
  });

  it("heads without a policy, and a policy without heads", async () => {
    const heads = attachHeads(await smallModel(), { exits: [2] });
    await expectCode(exportOnnx(heads), "export-policy");
    await expectCode(exportOnnx(heads.model, { policy: createPolicy(heads, 1) }), "export-policy");
  });
});
