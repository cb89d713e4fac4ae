/** Every kernel keeps the rules of kernel-source.ts; the tests at the end show what gpu.js does if one does not. */
import { expect, test } from "vitest";
import "../../../src/tensor/gpu/gpu-device.js";
import { functionText, type KernelSource, madeKernels } from "../../../src/tensor/gpu/kernel-source.js";

const named = (name: string) => madeKernels.find((kernel) => kernel.name === name)!;

/** The rules that a kernel breaks. */
function faults({ name, parameters, shape, body }: KernelSource) {
  const found: string[] = [];
  const counters = Array.from(body.matchAll(/for \(let (\w+) = 0; \1 < (\w+); \1\+\+\)/g), ([, counter, bound]) => ({
    counter: counter!,
    bound: bound!,
  }));
  if ((body.match(/\breturn\b/g) ?? []).length !== 1 || !/return [^;]*;\s*$/.test(body)) {
    found.push("one return, at the end");
  }
  if ((body.match(/\b(?:for|while|do)\b/g) ?? []).length !== counters.length) found.push("loops count from 0 by one");
  if (new Set(counters.map(({ counter }) => counter)).size !== counters.length) {
    found.push("counters have names of their own");
  }
  for (const { bound } of counters) {
    if (!/^\d+$/.test(bound) && parameters[bound] !== "integer") found.push(`the bound ${bound} is an integer`);
  }
  if (/Math\.(?:tanh|fround|sign|hypot)|Infinity|=>|\?|&&=|\bvar\b|===? ?-?\d*\.\d|\{[^}]*\bfunction\b/.test(body)) {
    found.push("nothing that a backend gets wrong");
  }
  for (const [, inside] of body.matchAll(/Math\.(?:max|min)\(((?:[^()]|\([^()]*\))*)\)/g)) {
    if (inside!.split(/,(?![^(]*\))/).length !== 2) found.push("max and min of two");
  }
  if (shape === "vector" && /\bROW\b/.test(body)) found.push("a vector has no rows");
  const locals = Array.from(body.matchAll(/\b(?:let|const) (\w+) =/g), ([, local]) => local!);
  const known = new Set([
    ...Object.keys(parameters),
    ...locals,
    "COLUMN",
    "ROW",
    "Math",
    "let",
    "const",
    "if",
    "else",
    "for",
    "return",
  ]);
  for (const [word] of body.replaceAll(/\.\w+|\b\d[\w.]*(?:e-?\d+)?/g, "").matchAll(/[A-Za-z_]\w*/g)) {
    if (!known.has(word)) found.push(`${word} is declared`);
  }
  for (const parameter of Object.keys(parameters)) {
    if (!new RegExp(`\\b${parameter}\\b`).test(body)) found.push(`${parameter} is used`);
  }
  if (Object.values(parameters).filter((type) => type === "array").length > 7) {
    found.push("eight arrays with the output, WebGPU's least limit");
  }
  return [...new Set(found)].map((rule) => `${name}: ${rule}`);
}

test("every kernel keeps the rules", () => {
  expect(madeKernels.length).toBeGreaterThan(50);
  expect(madeKernels.flatMap(faults)).toEqual([]);
});

test("kernels have names of their own, for the cache", () =>
  expect(new Set(madeKernels.map(({ name }) => name)).size).toBe(madeKernels.length));

test("the text is a function of the thread, whatever a bundler does to the file around it", () => {
  const text = functionText(named("columns"), { webgl: false });
  expect(text).toBe(
    "function columns(x, width, begin) {\n  return x[this.thread.y * width + begin + this.thread.x];\n}",
  );
  expect(functionText(named("columns"), { webgl: true })).toContain("this.thread.z * width");
  expect(functionText(named("gather"), { webgl: false })).toContain("table[(ids[this.thread.y] | 0) * width");
  expect(functionText(named("gather"), { webgl: true })).toContain("table[(ids[this.thread.z]) * width");
});

test.for([
  ["one return, at the end", "if (COLUMN < n) {\n    return 1;\n  }\n  return x[0] * f;\n"],
  [
    "loops count from 0 by one",
    "let y = f;\n  for (let t = 1; t + 2 <= n; t += 2) {\n    y += x[t];\n  }\n  return y;\n",
  ],
  [
    "counters have names of their own",
    "let y = f;\n  for (let t = 0; t < n; t++) {\n    y += x[t];\n  }\n  for (let t = 0; t < n; t++) {\n    y " +
      "+= x[t];\n  }\n  return y;\n",
  ],
  ["the bound f is an integer", "let y = 0;\n  for (let t = 0; t < f; t++) {\n    y += x[t] + n;\n  }\n  return y;\n"],
  ["nothing that a backend gets wrong", "return Math.tanh(x[n] * f);\n"],
  ["nothing that a backend gets wrong", "return -Infinity + x[n] * f;\n"],
  ["max and min of two", "return Math.max(x[0], f, n);\n"],
  ["a vector has no rows", "return x[ROW] + f * n;\n"],
  ["scale is declared", "return x[COLUMN] * scale + f * n;\n"],
  ["n is used", "return x[COLUMN] * f;\n"],
])('a kernel against "%s" is found', ([rule, body]) =>
  expect(
    faults({ name: "bad", parameters: { x: "array", n: "integer", f: "float" }, shape: "vector", body: body! }),
  ).toContain(`bad: ${rule!}`),
);
