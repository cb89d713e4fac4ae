/** `early-exits export`: what it writes, and what it refuses. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cli, parseJson, type Pipeline, pipeline, succeed, words } from "../support.js";

let made: Pipeline;
beforeAll(async () => {
  made = await pipeline();
});
afterAll(() => made.folder.remove());

describe("--onnx", () => {
  it("writes a graph for each stretch between exits, the weights, the manifest and the drivers", async () => {
    const folder = made.folder.path("onnx");
    const { out } = await succeed(words`
      export ${made.model} --heads ${made.heads} --policy ${made.policy} --onnx ${folder} --triton --device reference`);
    expect(out).toContain("stretch-0.onnx: blocks 1 to 1, then exit 0\n");
    expect(out).toContain("stretch-2.onnx: blocks 3 to 3, then the model's own logits\n");
    expect(readdirSync(folder).sort()).toEqual([
      "exit-loop.mjs",
      "exit_loop.py",
      "exits.json",
      "manifest.json",
      "onnxruntime-node.mjs",
      "onnxruntime-web.mjs",
      "onnxruntime_driver.py",
      "stretch-0.onnx",
      "stretch-1.onnx",
      "stretch-2.onnx",
      "triton",
      "weights.bin",
    ]);
    const manifest = parseJson(readFileSync(`${folder}/exits.json`, "utf8"));
    expect(manifest).toMatchObject({ format: "early-exits/export", version: 1, fill: "lazy", policy: { version: 1 } });
    const { bytes } = manifest["weights"] as { readonly bytes: number };
    expect(statSync(`${folder}/weights.bin`).size).toBe(bytes);
  });

  it("arranges the graphs for Triton, with the weights beside each", () => {
    const triton = made.folder.path("onnx", "triton");
    expect(readdirSync(triton).sort()).toEqual(["early_exits", "stretch-0", "stretch-1", "stretch-2"]);
    expect(readdirSync(`${triton}/early_exits/1`).sort()).toEqual(["exit_loop.py", "exits.json", "model.py"]);
    expect(readdirSync(`${triton}/stretch-1/1`).sort()).toEqual(["model.onnx", "weights.bin"]);
    expect(readFileSync(`${triton}/stretch-1/config.pbtxt`, "utf8")).toBe(
      [
        'name: "stretch-1"',
        'backend: "onnxruntime"',
        "max_batch_size: 0",
        "input [",
        '  { name: "state", data_type: TYPE_FP32, dims: [ -1, 16 ] },',
        '  { name: "positions", data_type: TYPE_INT64, dims: [ -1 ] },',
        '  { name: "past_key_1", data_type: TYPE_FP32, dims: [ 1, 1, -1, 8 ] },',
        '  { name: "past_value_1", data_type: TYPE_FP32, dims: [ 1, 1, -1, 8 ] }',
        "]",
        "output [",
        '  { name: "present_key_1", data_type: TYPE_FP32, dims: [ 1, 1, -1, 8 ] },',
        '  { name: "present_value_1", data_type: TYPE_FP32, dims: [ 1, 1, -1, 8 ] },',
        '  { name: "next_state", data_type: TYPE_FP32, dims: [ -1, 16 ] },',
        '  { name: "token", data_type: TYPE_INT64, dims: [ 1 ] },',
        '  { name: "score", data_type: TYPE_FP32, dims: [ 1 ] },',
        '  { name: "logits", data_type: TYPE_FP32, dims: [ 1, 280 ] }',
        "]",
        "",
      ].join("\n"),
    );
  });

  it("exports a model without exits as one graph", async () => {
    const folder = made.folder.path("plain");
    const { out } = await succeed(words`export ${made.model} --onnx ${folder} --device reference --json`);
    expect(parseJson(out)).toMatchObject({ graphs: ["stretch-0.onnx"], stretches: [{ begin: 0, end: 3 }] });
    expect(existsSync(`${folder}/triton`)).toBe(false);
  });
});

describe("--layout", () => {
  it.each([
    ["ee-llm", "exit_heads.safetensors"],
    ["balcony", "exit_modules.safetensors"],
    ["medusa", "medusa_lm_head.safetensors"],
  ])("writes %s's file and settings", async (layout, file) => {
    const out = made.folder.path(layout);
    await succeed(words`
      export ${made.model} --heads ${made.heads} --layout ${layout} --out ${out} --device reference`);
    expect(readdirSync(out).sort()).toEqual(["config.json", file, "manifest.json"].sort());
  });
});

it.each([
  [[], "choose what to write"],
  [["--onnx", "x", "--layout", "medusa"], "choose what to write"],
  [["--layout", "medusa"], "--layout needs --heads"],
  [["--onnx", "x", "--heads", "y"], "belong together"],
  [["--layout", "medusa", "--heads", "y", "--out", "z", "--triton"], "--triton needs --onnx"],
])("refuses %j", async (options, message) => {
  const { code, err } = await cli(["export", made.model, ...options]);
  expect(code).toBe(2);
  expect(err).toContain(message);
});
