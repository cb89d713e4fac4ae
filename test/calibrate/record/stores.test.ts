/**
 * Stores of records, runs and scores: what a disk changed is noticed by its checksum, and what someone mended, checksum
 * and all, by its shape. Never is a number of such a file counted.
 */
import { createHash } from "node:crypto";
import { attachHeads, evaluate, libraryVersion } from "early-exits";
import { recordDocuments, runPolicies } from "early-exits/calibrate";
import type { CacheStore } from "early-exits/exits";
import { parseSafetensors } from "early-exits/tensor";
import { expect, it, test } from "vitest";
import { describeSubject, madeOf } from "../../../src/calibrate/record/subject.js";
import { findingName } from "../../../src/exits/states/findings.js";
import { serializeSafetensors } from "../../../src/tensor/formats/serialize-safetensors.js";
import { expectCode } from "../../support/expect-code.js";
import { giveProjections, randomIds, smallByteModel } from "../../support/models.js";
import { times } from "../../support/lists.js";

const heads = await giveProjections(attachHeads(await smallByteModel(), { exits: [1, 2] }));
const documents = [randomIds(12, 61, 1)];
const candidates = { score: "margin", fill: "project", thresholds: [heads.depths.map(() => 0)] } as const;
const items = [{ kind: "perplexity" as const, text: "one text" }];
const work = {
  record: (store: CacheStore) => recordDocuments(heads, documents, { store }),
  sampled: (store: CacheStore) => recordDocuments(heads, documents, { store, sampling: { temperature: 1 } }),
  run: (store: CacheStore) => runPolicies(heads, documents, candidates, { store }),
  score: (store: CacheStore) => evaluate(heads, items, { store, policies: [] }),
};
type Kind = keyof typeof work;

/** A store of one file, and what it keeps. */
function storeOf(bytes?: Uint8Array): CacheStore & { bytes: Uint8Array | undefined } {
  return {
    bytes,
    read() {
      return Promise.resolve(this.bytes);
    },
    write(_name, written) {
      this.bytes = written;
      return Promise.resolve();
    },
  };
}
const kept = new Map<Kind, Uint8Array>();
for (const kind of Object.keys(work) as Kind[]) {
  const store = storeOf();
  await work[kind](store);
  kept.set(kind, store.bytes!);
}
const sealed = (content: Uint8Array | string) => {
  const bytes = Buffer.from(content);
  return Buffer.concat([bytes, Buffer.from(createHash("sha256").update(bytes).digest("hex"))]);
};
const contentOf = (kind: Kind) => Buffer.from(kept.get(kind)!.subarray(0, -64));

it.each(Object.keys(work) as Kind[])("a %s is read again, unless any bit of its file changed", async (kind) => {
  const whole = kept.get(kind)!;
  const found = await work[kind](storeOf());
  expect(await work[kind](storeOf(whole))).toEqual(found);
  const places = times(12, (i) => Math.floor((i * (whole.length - 1)) / 11));
  const flipped = places.map((at) => Uint8Array.from(whole, (byte, i) => (i === at ? byte ^ 1 : byte)));
  const cut = places.map((at) => whole.subarray(0, at));
  for (const bytes of [...flipped, ...cut, Buffer.concat([whole, Uint8Array.of(0)])]) {
    await expectCode(work[kind](storeOf(bytes)), "store-damaged");
  }
});

/** Contents whose checksum is right. */
const changed = (kind: Kind, change: (json: never) => unknown) => {
  const json = JSON.parse(contentOf(kind).toString()) as never;
  return JSON.stringify(change(json) ?? json);
};
const counts = (change: (counts: Record<"left" | "wrong" | "deep", unknown[]>) => unknown) =>
  changed("run", (json: Record<string, never>) => void change(Object.values(json)[0]!));
const tensors = (kind: Kind, change: (name: string) => object | undefined) => {
  const file = parseSafetensors(contentOf(kind));
  const entries = file.names.map((name) => {
    const { dtype, shape } = file.info(name);
    return [name, { dtype, shape, data: file.array(name), ...change(name) }];
  });
  return serializeSafetensors(entries as never);
};
const of = (name: string, entry: object) => (found: string) => (found === name ? entry : undefined);
const positions = documents[0]!.length;
test.each<[string, Kind, Uint8Array | string]>([
  ["nothing", "record", ""],
  ["text", "record", "{}"],
  ["other positions", "record", tensors("record", of("agrees.0", { shape: [1], data: Uint8Array.of(1) }))],
  ["a billion positions", "record", contentOf("record").toString("latin1").replace(`[${positions}`, "[1000000000")],
  ["agreement of 2", "record", tensors("record", of("agrees.0", { data: new Uint8Array(positions).fill(2) }))],
  ["NaN", "record", tensors("record", of("stats.0", { data: new Float32Array(5 * positions).fill(NaN) }))],
  ["losses below 0", "sampled", tensors("sampled", of("losses.0", { data: new Int32Array(positions).fill(-1) }))],
  ["losses above 1", "sampled", tensors("sampled", of("losses.0", { data: new Int32Array(positions).fill(2 ** 21) }))],
  [
    "losses of another type",
    "sampled",
    tensors("sampled", of("losses.0", { dtype: "F32", data: new Float32Array(positions) })),
  ],
  ["no losses", "sampled", contentOf("record")],
  ["broken JSON", "run", '{"0'],
  ["null", "run", "null"],
  ["a list", "run", "[[]]"],
  ["nothing by a candidate", "run", '{"0,0":null}'],
  ["texts as counts", "run", counts(({ wrong }) => (wrong[0] = "x"))],
  ["a billion tokens that left", "run", counts(({ left }) => (left[0] = 1e9))],
  ["9e15 of them", "run", counts(({ left }) => (left[0] = 9e15))],
  ["more errors than tokens that left", "run", counts(({ left, wrong }) => (wrong[0] = (left[0] as number) + 1))],
  ["negative counts", "run", counts(({ left }) => (left[0] = -1))],
  ["a list of lists", "run", counts(({ left }) => (left[0] = [1]))],
  ["counts of more exits", "run", counts(({ left, wrong }) => [left.push(0), wrong.push(0)])],
  ["no counts", "run", counts((one) => (one.deep = []))],
  ["many errors at full depth", "run", counts((one) => (one.deep = [1e9]))],
  ["broken JSON", "score", "["],
  ["null", "score", "null"],
  ["no ways", "score", changed("score", () => ({ tokens: 1, truncated: 0, ways: [] }))],
  ["a billion tokens", "score", changed("score", (json) => void Object.assign(json, { tokens: 1e12 }))],
  [
    "texts as sums",
    "score",
    contentOf("score")
      .toString()
      .replace(/"top":[^,]+/, '"top":"x"'),
  ],
  [
    "more tokens that agree than there are",
    "score",
    contentOf("score")
      .toString()
      .replace(/"agreed":\d+/, '"agreed":99'),
  ],
])("%s in a mended %s is refused", (_name, kind, content) =>
  expectCode(work[kind](storeOf(sealed(content))), "store-damaged"),
);

it("files are named by kernels and version too", async () => {
  const subject = await describeSubject(heads);
  const builds = [undefined, "portable-1", "relaxed-1"].map((kernelBuild) => ({
    ...subject,
    ...(kernelBuild && { kernelBuild }),
  }));
  const names = await Promise.all(builds.map((each) => findingName("record", madeOf(each))));
  expect(new Set(names).size).toBe(3);
  const hash = createHash("sha256")
    .update(JSON.stringify([libraryVersion, 1]))
    .digest("hex");
  expect(await findingName("run", [1])).toBe(`run-${hash.slice(0, 32)}`);
});
