/** The table of `npm run bench:shapes`: a row for each file, length of text and dtype of keys and values. */
import type { CacheDtype } from "early-exits/tensor";
import type { Machine } from "../../../lab/report/machine.js";
import { prose } from "../../../lab/report/prose.js";
import type { Report } from "../../../lab/report/report.js";
import { withRange } from "../../../lab/report/format.js";
import { attentionProducts, type ShapeName } from "../formats/random-model.js";
import { median, spreadOf } from "../statistics.js";
import { DECODED, type LlmTiming, UNTIMED } from "./protocol.js";

/** One file at one length of text; sizes in bytes. */
export interface Pair {
  readonly shape: ShapeName;
  readonly type: string;
  readonly fileBytes: number;
  /** Tokens of the prompt and of what is decoded after it. */
  readonly context: number;
  readonly cache: CacheDtype;
  readonly threads: number;
  readonly rounds: Round[];
}

interface Round {
  readonly ours: LlmTiming;
  readonly theirs: LlmTiming;
  /** Of one process, per second. */
  readonly limits: Record<"read" | "products", number>;
}

interface Run {
  readonly name: string;
  readonly where: Machine;
  readonly clock: string;
  readonly pairs: readonly Pair[];
}

export function shapesReport({ name, where, clock, pairs }: Run): Report & { readonly data: object } {
  const limitOf = (of: "read" | "products"): string =>
    (median(pairs.flatMap(({ rounds }) => rounds.map(({ limits }) => limits[of]))) / 1e9).toFixed(1);
  return {
    name,
    title: "Larger models and longer texts: this library beside llama.cpp",
    machine: where,
    data: { clock, pairs },
    tables: [
      {
        title: "Random weights in the shapes of SmolLM2",
        note: prose`
          Medians over rounds; each round runs both on the same file, each in a process of its own. Ratios are of speeds
          in the same round, ours over llama.cpp's: median (lowest to highest). A text of n tokens: prefill of its
          n - ${DECODED} first, then ${DECODED} decoded. Load: from the call to a model that can decode. First token:
          from the call to the first token after the prompt, or ${UNTIMED} tokens of it. Over: the process's
          largest resident size while it loads, without packed weights and the room for keys and values. Peak: the
          largest in all; llama.cpp maps its file. Memory: the share of what one process reads
          (${limitOf("read")} GB/s) that decoding reads of weights, keys and values. Limit: the ratio if that share
          were all of it, and nothing else took time. Products: those of the blocks'
          matrices and of attention in prefill, as a share of what one thread multiplies in integers
          (${limitOf("products")} · 10^9/s); attention multiplies float32, at most half as fast. llama.cpp keeps keys
          and values in float16. Clock: ${clock}.`,
        columns: [
          "file",
          "text",
          "cache",
          "threads",
          "rounds",
          "decode, tokens/s",
          "ratio",
          "memory, %",
          "limit",
          "prefill, tokens/s",
          "ratio",
          "products, %",
          "load, s, ours / theirs",
          "first token, s, ours / theirs",
          "over, MB",
          "peak, MB, ours / theirs",
        ],
        rows: pairs.map(rowOf),
      },
    ],
  };
}

function rowOf({ shape, type, fileBytes, context, cache, threads, rounds }: Pair): (string | number)[] {
  const decode = ({ decode }: LlmTiming): number => (1000 * DECODED) / decode;
  const prefill = ({ prefill }: LlmTiming): number => (1000 * (context - DECODED)) / prefill[0]!;
  const ratio = (of: (timing: LlmTiming) => number): string => {
    const { median, min, max } = spreadOf(rounds.map(({ ours, theirs }) => of(ours) / of(theirs)));
    return withRange({ median, low: min, high: max });
  };
  const share = (of: (round: Round) => number): string => (100 * median(rounds.map(of))).toFixed(0);
  const both = (of: "load" | "firstToken" | "peak", unit: number, digits: number): string =>
    (["ours", "theirs"] as const)
      .map((side) => median(rounds.map((round) => round[side][of] / unit)).toFixed(digits))
      .join(" / ");
  const read = ({ weights, perToken }: LlmTiming): number => weights + perToken * (context - DECODED / 2);
  const attended = attentionProducts(shape, context - DECODED);
  return [
    `${shape} ${type}, ${(fileBytes / 1e6).toFixed(0)} MB`,
    String(context),
    cache,
    String(threads),
    String(rounds.length),
    median(rounds.map(({ ours }) => decode(ours))),
    ratio(decode),
    share(({ ours, limits }) => (decode(ours) * read(ours)) / limits.read),
    median(rounds.map(({ ours, theirs, limits }) => limits.read / read(ours) / decode(theirs))),
    median(rounds.map(({ ours }) => prefill(ours))),
    ratio(prefill),
    share(({ ours, limits }) => (prefill(ours) * (ours.products + attended)) / (threads * limits.products)),
    both("load", 1000, 2),
    both("firstToken", 1000, 2),
    median(rounds.map(({ ours }) => ours.loaded - ours.weights - context * ours.perToken)) / 1e6,
    both("peak", 1e6, 0),
  ];
}
