/**
 * The report of one run: plain data (`format`, `version`), and its Markdown. Speeds are tokens per second of whole
 * passes: the median over rounds of each round's median, with the slowest and the fastest round.
 */
import { describeMachine, type Machine, prose } from "../../lab/report/index.js";
import { type Agreement, agrees } from "./agreement.js";
import { labelOf } from "./configurations.js";
import type { Configuration } from "./peer.js";
import { bytesPerToken, type Protocol, shape, training } from "./shape.js";
import type { Spread } from "./statistics.js";

export interface DecodeRow extends Configuration {
  readonly status: "measured" | "absent" | "failed" | "disagrees" | "not timed";
  /** What ran, or why nothing did. */
  readonly info: string;
  readonly agreement?: Agreement;
  /** Tokens per second. */
  readonly prefill?: Spread;
  readonly decode?: Spread;
  /** Ours (float32, same number of threads) divided by this, per round. */
  readonly prefillRatio?: Spread;
  readonly decodeRatio?: Spread;
  /** Milliseconds, every pass of every round. */
  readonly samples?: {
    readonly prefill: readonly (readonly number[])[];
    readonly decode: readonly (readonly number[])[];
  };
}

export interface TrainRow extends Configuration {
  readonly status: DecodeRow["status"];
  readonly info: string;
  /** Milliseconds per step. */
  readonly step?: Spread;
  /** This divided by ours, per round: above 1, ours is faster. */
  readonly ratio?: Spread;
  readonly losses?: readonly number[];
  /** The largest relative difference of a loss from the median over all configurations. */
  readonly lossError?: number;
  readonly samples?: readonly (readonly number[])[];
}

export interface PeersReport {
  readonly format: "early-exits/peers";
  readonly version: 1;
  readonly machine: Machine;
  /** Installed versions of the peers. */
  readonly versions: Readonly<Record<string, string>>;
  readonly shape: typeof shape;
  readonly training: typeof training;
  readonly protocol: Protocol;
  /** The device behind "ours". */
  readonly device: string;
  readonly decoding: readonly DecodeRow[];
  readonly headTraining: readonly TrainRow[];
  /** Peers that were left out by --peers. */
  readonly notAsked: readonly string[];
}

export function markdownOf(report: PeersReport): string {
  const { machine, versions, protocol, decoding, headTraining, notAsked } = report;
  const rows = [...decoding, ...headTraining];
  const missing = rows.filter(({ status }) => status !== "measured" && status !== "not timed");
  const ran = rows.filter((row) => !missing.includes(row));
  const installed = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const lines = [
    "# Peers on the same model",
    "",
    `${describeMachine(machine)}.`,
    `${installed.join(", ")}. Ours on the device "${report.device}".`,
    "",
    modelLine(protocol),
    protocolLine(protocol),
    "",
    ...decodeTable(decoding),
    ...(headTraining.length === 0 ? [] : ["", trainingLine(protocol), "", ...trainTable(headTraining)]),
    ...list(
      "Not measured:",
      missing.map((row) => `${labelOf(row)}: ${row.status}. ${row.info}`),
    ),
    ...list("What ran:", new Set(ran.map((row) => `${labelOf(row)}: ${row.info}`))),
    ...(notAsked.length === 0 ? [] : ["", `Not asked for: ${notAsked.join(", ")}.`]),
  ];
  return `${lines.join("\n")}\n`;
}

const modelLine = ({ seed }: Protocol): string => prose`
  Model: GPT-2 shape, ${shape.numLayers} blocks, C ${shape.hiddenSize}, ${shape.numHeads} heads,
  ff ${shape.intermediateSize}, V ${shape.vocabSize}, random float32 weights (seed ${seed});
  ${(bytesPerToken / 1e6).toFixed(1)} MB of float32 weights are read per decoded token.`;

const protocolLine = ({ promptTokens, decodeTokens, rounds, passes, warmups }: Protocol): string => prose`
  Batch 1, prompt of ${promptTokens} tokens, then ${decodeTokens} greedy tokens with a cache; ${rounds} interleaved
  rounds, a fresh process per peer and round, ${passes} passes each after ${warmups} untimed. Median [slowest, fastest
  round]; a ratio is ours (float32, same threads) / peer in the same round.`;

const trainingLine = ({ steps }: Protocol): string => prose`
  Head-training step: ${shape.hiddenSize} -> ${shape.vocabSize}, KL, batch ${training.batch}, Adam, one thread;
  ${steps} steps per round.`;

function decodeTable(rows: readonly DecodeRow[]): string[] {
  const head = [
    "peer",
    "prefill tokens/s",
    "ours / peer",
    "decode tokens/s",
    "ours / peer",
    "weights read, GB/s",
    "logits error (allowed)",
    "same argmax",
  ];
  return table(head, rows.map(decodeCells));
}

function trainTable(rows: readonly TrainRow[]): string[] {
  return table(["peer", "ms per step", "peer / ours", "loss error"], rows.map(trainCells));
}

function decodeCells(row: DecodeRow): string[] {
  const { agreement, prefill, decode } = row;
  // Only float32 weights have this many bytes.
  const float32 = !/^(bf|q8|int8)/.test(row.variant);
  return [
    labelOf(row),
    prefill ? speed(prefill) : row.status,
    ratio(row.prefillRatio),
    decode ? speed(decode) : row.status,
    ratio(row.decodeRatio),
    decode && float32 ? ((decode.median * bytesPerToken) / 1e9).toFixed(1) : "",
    agreement ? errorCell(agreement) : "",
    agreement ? `${agreement.sameArgmax}/${agreement.rows}` : "",
  ];
}

function errorCell(agreement: Agreement): string {
  const { error, tolerance } = agreement;
  return `${error.toExponential(1)} (${tolerance.toExponential(1)})${agrees(agreement) ? "" : " disagrees"}`;
}

function trainCells(row: TrainRow): string[] {
  return [
    labelOf(row),
    row.step ? `${row.step.median.toFixed(1)} [${row.step.min.toFixed(1)}, ${row.step.max.toFixed(1)}]` : row.status,
    ratio(row.ratio),
    row.lossError?.toExponential(1) ?? "",
  ];
}

function speed({ median, min, max }: Spread): string {
  const digits = median < 10 ? 2 : 0;
  return `${median.toFixed(digits)} [${min.toFixed(digits)}, ${max.toFixed(digits)}]`;
}

function ratio(spread: Spread | undefined): string {
  return spread && spread.samples > 0
    ? `${spread.median.toFixed(2)} [${spread.min.toFixed(2)}, ${spread.max.toFixed(2)}]`
    : "";
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
}

/** A heading and a list; nothing if the list is empty. */
function list(heading: string, items: Iterable<string>): string[] {
  const lines = Array.from(items, (item) => `* ${item}`);
  return lines.length === 0 ? [] : ["", heading, "", ...lines];
}
