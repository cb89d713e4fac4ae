/**
 * The walks of docs/architecture.md, against traces: the files on the way from `generate` or `calibrate` to what is
 * called for a token or a score are those that the walk passes, and the functions that a step names were called there.
 */
import { readFileSync } from "node:fs";
import { calibrate, type Certified, type ExitHeads, generate, type Policy, verifyCertificate } from "early-exits";
import { createDevice, readHeads, readJson, readModel } from "early-exits/node";
import { beforeAll, expect, it } from "vitest";
import { wsrPValue } from "../../../src/risk/betting-bound.js";
import { sealCertificate } from "../../../src/calibrate/certificate/certificate.js";
import { proposeVectors } from "../../../src/calibrate/procedures/propose.js";
import { lossesOf } from "../../../src/calibrate/procedures/tally.js";
import { tallyVectors } from "../../../src/calibrate/procedures/token-table.js";
import { verifyStored } from "../../../src/calibrate/recompute/verify-certificate.js";
import { streamedEvidence } from "../../../src/calibrate/record/evidence.js";
import { exitFires, readStats } from "../../../src/exits/heads/score.js";
import { generateBatchWith } from "../../../src/model/decode/generate.js";
import { Writer } from "../../../src/model/decode/writer.js";
import { Engine } from "../../../src/tensor/wasm/engine.js";
import { methodOf, traceCalls, traceKernel, type Trace } from "../../support/trace.js";

interface Step {
  readonly file: string;
  /** The functions that it names, without their classes. */
  readonly names: readonly string[];
}

const page = readFileSync("docs/architecture.md", "utf8");

/** The steps of a section, each with the first source file that it names. */
function walkOf(title: string) {
  const section = page.split(/^## /m).find((text) => text.startsWith(title))!;
  return Array.from(section.matchAll(/^\d+\. .*$/gm), ([step]) => ({
    file: /`(src\/[^`]+\.ts)`/.exec(step)![1]!,
    names: Array.from(step.replace(/\[[^\]]*\]\([^)]*\)/g, "").matchAll(/`([\w.#]+)`/g), ([, name]) => last(name!)),
  }));
}

const last = (name: string) => name.split(/[.#]/).at(-1)!;

/** A trace within src, without the frames of a file that only runs a closure of the file that called it (`scope`). */
function passed(trace: Trace) {
  const frames = trace.filter(({ file }) => file.startsWith("src/") && !file.endsWith(".generated.ts"));
  return frames.filter(({ file }, i) => {
    const before = frames.slice(0, i).findLast((frame) => frame.file !== file);
    const after = frames.slice(i).find((frame) => frame.file !== file);
    return before?.name !== "" || before.file !== after?.file;
  });
}

const within = (traces: readonly Trace[], call: (...args: never[]) => unknown) =>
  traces.filter(([first]) => last(first!.name) === call.name);

function requireWalk(steps: readonly Step[], path: readonly Trace[], all: readonly Trace[]) {
  const files = path.flatMap(passed).map(({ file }) => file);
  expect(steps.map(({ file }) => file).sort()).toEqual([...new Set(files)].sort());
  expect(steps.length).toBeLessThanOrEqual(14);
  for (const { file, names } of steps) {
    const called = all.flat().flatMap((frame) => (frame.file === file ? [last(frame.name)] : []));
    expect(called, file).toEqual(expect.arrayContaining([...names]));
  }
}

let heads: ExitHeads;
let policy: Policy;
beforeAll(async () => {
  const model = await readModel("models/sotu-12", { device: await createDevice("wasm") });
  heads = await readHeads("models/sotu-12/heads", model);
  ({ policy } = (await readJson("models/sotu-12/certificates/95.json")) as { readonly policy: Policy });
  return () => model.device.dispose();
});

it("the path of a token id is that of a token that leaves at an exit", async () => {
  let run!: ReturnType<typeof generate>;
  const options = { policy, drafts: false, maxNewTokens: 12 };
  const begun = await traceCalls([generateBatchWith], () => (run = generate(heads, "The people of", options)));
  const tokens = run[Symbol.asyncIterator]();
  await tokens.next(); // and the prompt with it
  const write = methodOf(Writer, "write");
  let traces: Trace[];
  do {
    traces = await traceCalls([methodOf(Engine, "share"), exitFires, write], () => tokens.next());
  } while (within(traces, exitFires).length !== 1); // one exit was tried, and the token left there
  const decided = traces.findIndex(([first]) => first!.name === exitFires.name);
  const products = traces
    .slice(0, decided)
    .filter((trace) => trace.some(({ file }) => file === "src/tensor/wasm/products.ts"));
  expect(products.length).toBeGreaterThan(10);
  const path = [
    ...begun,
    ...products,
    ...(await traceKernel("tile1x32")),
    ...within(traces, exitFires),
    ...within(traces, write),
  ];
  requireWalk(walkOf("The path of a token id"), path, [...path, ...traces]);
});

/** The full model's logits, which give the token to agree with. */
const TEACHER = "src/exits/train/create-teacher.ts";

it("the path of a score is that of the scores of a certificate", async () => {
  const { calibration } = (await readJson("models/sotu-12/documents.json")) as {
    readonly calibration: readonly { readonly text: string }[];
  };
  const documents = calibration.slice(0, 24).map(({ text }) => text.slice(0, 120));
  let certified!: Certified;
  const counts = [proposeVectors, tallyVectors, lossesOf, wsrPValue, sealCertificate];
  const traces = await traceCalls([streamedEvidence, readStats, ...counts], async () => {
    certified = await calibrate(heads, documents, { agreement: 0.3 });
  });
  expect(certified.certificate.policy.exits.some(({ threshold }) => threshold !== "never")).toBe(true);
  const sealed = traces.findIndex(([first]) => first!.name === sealCertificate.name);
  const verified = await traceCalls([verifyStored], () => verifyCertificate(certified.certificate));
  const path = [
    ...traces.slice(0, sealed + 1).filter((trace) => trace.every(({ file }) => file !== TEACHER)),
    ...verified.map(([first]) => [first!]),
  ];
  requireWalk(walkOf("The path of a score"), path, path);
});
