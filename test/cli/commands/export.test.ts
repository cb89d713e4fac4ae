/** `early-exits export`: what it writes, and what it refuses. */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseJson, pipeline, refused, succeed, words } from "../support.js";

const made = await pipeline();
const folder = made.folder.path("onnx");

describe("export", () => {
  it("writes a graph for each stretch between exits, the weights, the manifest and the drivers", async () => {
    const { out } = await succeed(words`
      export ${made.model} --heads ${made.heads} --policy ${made.policy} --out ${folder} --device reference`);
    expect(out).toContain("stretch-0.onnx: blocks 1 to 1, then exit 0\n");
    expect(out).toContain("stretch-2.onnx: blocks 3 to 3, then the model's own logits\n");
    expect(readdirSync(folder).sort()).toEqual([
      "exit-loop.mjs",
      "exit_loop.py",
      "exits.json",
      "onnxruntime-node.mjs",
      "onnxruntime-web.mjs",
      "onnxruntime_driver.py",
      "stretch-0.onnx",
      "stretch-1.onnx",
      "stretch-2.onnx",
      "weights.bin",
    ]);
    const manifest = parseJson(readFileSync(`${folder}/exits.json`, "utf8"));
    expect(manifest).toMatchObject({ format: "early-exits/export", version: 1, fill: "lazy", policy: { version: 1 } });
    const { bytes } = manifest["weights"] as { readonly bytes: number };
    expect(statSync(`${folder}/weights.bin`).size).toBe(bytes);
  });

  it("exports a model without exits as one graph, and leaves none of an older export", async () => {
    for (const name of ["certificate.json", "fill-0.onnx"]) writeFileSync(`${folder}/${name}`, "");
    const { out } = await succeed(words`export ${made.model} --out ${folder} --device reference --json`);
    expect(parseJson(out)).toMatchObject({ graphs: ["stretch-0.onnx"], stretches: [{ begin: 0, end: 3 }] });
    expect(readdirSync(folder).filter((name) => /^[cfs]/.test(name))).toEqual(["stretch-0.onnx"]);
  });
});

it.each([
  [[], "--out"],
  [["--out", "x", "--heads", "y"], "belong together"],
])("refuses %j", async (options, message) =>
  expect(await refused(words`export ${made.model} ${options}`, 2)).toContain(message),
);
