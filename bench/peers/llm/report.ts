/** The tables of `npm run bench:llm`: what each way of running the model takes, and ratios of ways by round. */
import type { Machine } from "../../../lab/report/machine.js";
import { prose } from "../../../lab/report/prose.js";
import type { Report, Table } from "../../../lab/report/report.js";
import { withRange } from "../../../lab/report/format.js";
import { median, spreadOf } from "../statistics.js";
import { DECODED, labelOf, type LlmTiming, partsOf, PROMPTS, type Way } from "./protocol.js";

/** One way, with a timing for each round, or why there is none. */
export interface Measured {
  readonly way: Way;
  readonly timings: readonly LlmTiming[];
  readonly failure: string | undefined;
}

interface Run {
  readonly where: Machine;
  readonly model: string;
  readonly fileBytes: number;
  /** The version of Node by the name after `@`, where another one ran our ways. */
  readonly engines: ReadonlyMap<string, string>;
  readonly measured: readonly Measured[];
  /** Bytes per second, by threads and round. */
  readonly bandwidths: ReadonlyMap<number, readonly number[]>;
  /** Products of integers per second, by round. */
  readonly products: readonly number[];
}

/** Our weight types, each with the types of llama.cpp that hold as many bits. */
const PEERS: Readonly<Record<string, readonly string[]>> = {
  float32: ["f32"],
  bfloat16: ["bf16"],
  int8: ["q8_0"],
  int4: ["q4_0", "q4_1"],
  stored: ["q4_0", "q4_1"],
};

export function llmReport(run: Run): Report & { readonly data: object } {
  const { where, model, fileBytes, engines, measured, bandwidths, products } = run;
  const failed = measured.filter(({ failure }) => failure !== undefined);
  const withOnnx = measured.some(({ way }) => way.runtime === "onnxruntime-node");
  return {
    name: "llm",
    title: `${model}: this library beside llama.cpp${withOnnx ? " and onnxruntime" : ""}`,
    machine: where,
    data: { model, fileBytes, engines: [...engines], measured, bandwidths: [...bandwidths], products },
    tables: [
      speedTable(run),
      ratioTable(measured),
      threadTable(run),
      ...(failed.length === 0 ? [] : [failureTable(failed)]),
    ],
  };
}

const seconds = (ms: number): string => (ms / 1000).toFixed(2);
const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
const decodeSpeed = ({ decode }: LlmTiming): number => (1000 * DECODED) / decode;
const prefillSpeed =
  (p: number) =>
  ({ prefill }: LlmTiming): number =>
    (1000 * PROMPTS[p]!) / prefill[p]!;

function speedTable({ measured, fileBytes, engines }: Run): Table {
  const others = [...engines].map(([name, version]) => ` @${name}: run by Node ${version}.`).join("");
  return {
    title: "Speed, load time and memory",
    note: prose`
      Medians over ${Math.max(...measured.map(({ timings }) => timings.length))} rounds; every way has a process of its
      own in every round. Tokens per second: decoding ${DECODED} tokens after a prompt of ${PROMPTS[0]}, and prefill of
      ${PROMPTS.join(" and ")} tokens. Load: from the call to a model that can decode. First token: from the call to
      the first token after a prompt of ${PROMPTS[0]}. Memory: the largest resident size, and what loading and running
      added to it. The file given has ${mebibytes(fileBytes)} MiB; llama.cpp maps its file into
      memory.${others}`,
    columns: [
      "runtime",
      "decode",
      ...PROMPTS.map((length) => `prefill ${length}`),
      "load, s",
      "first token, s",
      "peak, MiB",
      "added, MiB",
    ],
    rows: measured
      .filter(({ timings }) => timings.length > 0)
      .map(({ way, timings }) => {
        const middle = (of: (timing: LlmTiming) => number): number => median(timings.map(of));
        return [
          labelOf(way),
          middle(decodeSpeed),
          ...PROMPTS.map((_, p) => middle(prefillSpeed(p))),
          seconds(middle(({ load }) => load)),
          seconds(middle(({ firstToken }) => firstToken)),
          mebibytes(middle(({ peak }) => peak)),
          mebibytes(middle(({ added }) => added)),
        ];
      }),
  };
}

function ratioTable(measured: readonly Measured[]): Table {
  const pairs = measured
    .filter(({ way }) => way.runtime === "ours")
    .flatMap((ours) =>
      (PEERS[partsOf(ours.way.type).dtype] ?? []).flatMap((type) =>
        measured
          .filter(({ way }) => way.runtime !== "ours" && way.type === type && way.threads === ours.way.threads)
          .map((peer) => ({ ours, peer })),
      ),
    );
  return {
    title: "Ours over theirs",
    note: "Ratios of speeds in the same round, with the same number of threads: median (lowest to highest round).",
    columns: ["pair", "decode", ...PROMPTS.map((length) => `prefill ${length}`)],
    rows: pairs.map(({ ours, peer }) => [
      `${ours.way.type} / ${nameOf(peer.way)}, ${ours.way.threads} t`,
      ratio(ours, peer, decodeSpeed),
      ...PROMPTS.map((_, p) => ratio(ours, peer, prefillSpeed(p))),
    ]),
  };
}

/** llama.cpp's type, or another runtime and its type. */
function nameOf({ runtime, type }: Way): string {
  return runtime === "node-llama-cpp" ? type : `${runtime} ${type}`;
}

/** Each of our ways on several threads beside the same way on one, and beside the memory. */
function threadTable({ measured, bandwidths, products }: Run): Table {
  const ours = measured.filter(({ way, timings }) => way.runtime === "ours" && timings.length > 0);
  const rows = ours.map((many) => {
    const one = ours.find(({ way }) => way.type === many.way.type && way.threads === 1);
    const read = many.timings.map((timing, round) => {
      const limit = bandwidths.get(many.way.threads)?.[round] ?? NaN;
      return (decodeSpeed(timing) * timing.weights) / limit;
    });
    const multiplied = many.timings.map(
      (timing, round) => (prefillSpeed(0)(timing) * timing.products) / (many.way.threads * (products[round] ?? NaN)),
    );
    return [
      `${many.way.type}, ${many.way.threads} t`,
      one === undefined ? "" : ratio(many, one, decodeSpeed),
      ...PROMPTS.map((_, p) => (one === undefined ? "" : ratio(many, one, prefillSpeed(p)))),
      (100 * median(read)).toFixed(0),
      multiplied.includes(0) ? "" : (100 * median(multiplied)).toFixed(0),
    ];
  });
  const limits = [...bandwidths].map(
    ([count, rates]) => `${(median(rates) / 1e9).toFixed(1)} GB/s by ${count} process${count === 1 ? "" : "es"}`,
  );
  return {
    title: "Threads",
    note: prose`
      Speed relative to the same weights on one thread, by round, and the share of the memory's read bandwidth that
      decoding uses. The bandwidth of as many processes reading at a time, in the same rounds: ${limits.join(", ")}.
      Products used: what the blocks' matrices take for a prompt of ${PROMPTS[0]} tokens (groups that are rounded finer
      take it twice, which is not counted), as a share of what one thread multiplies if it does
      nothing else, ${(median(products) / 1e9).toFixed(1)} · 10^9 products of integers per second, times the threads.`,
    columns: [
      "ours",
      "decode",
      ...PROMPTS.map((length) => `prefill ${length}`),
      "bandwidth used, %",
      "products used, %",
    ],
    rows,
  };
}

export function failureTable(failed: readonly Pick<Measured, "way" | "failure">[]): Table {
  return {
    title: "Not measured",
    note: "Ways that failed, and why.",
    columns: ["runtime", "reason"],
    rows: failed.map(({ way, failure }) => [labelOf(way), failure!.replaceAll("\n", " ")]),
  };
}

/** Rounds in which both were measured; every way is measured in every round until it fails. */
function ratio(top: Measured, bottom: Measured, speed: (timing: LlmTiming) => number): string {
  const rounds = Math.min(top.timings.length, bottom.timings.length);
  if (rounds === 0) return "";
  const ratios = Array.from({ length: rounds }, (_, i) => speed(top.timings[i]!) / speed(bottom.timings[i]!));
  const { median: middle, min, max } = spreadOf(ratios);
  return withRange({ median: middle, low: min, high: max });
}
