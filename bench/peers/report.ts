/**
 * The report of one run: plain data (`format`, `version`), and its Markdown. Speeds are tokens per second of whole
 * passes, medians over rounds of each round's median; spread is the slowest and fastest round.
 */
import { describeMachine, type Machine } from "../../lab/report/index.js";
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
  /** Largest relative difference of a loss from the median over all that took part. */
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
  const { machine, versions, protocol, decoding, headTraining } = report;
  const lines = [
    "# Peers on the same model",
    "",
    `${describeMachine(machine)}.`,
    `${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}. Ours on the device "${report.device}".`,
    "",
    `Model: GPT-2 shape, ${shape.numLayers} blocks, C ${shape.hiddenSize}, ${shape.numHeads} heads, ` +
      `ff ${shape.intermediateSize}, V ${shape.vocabSize}, random float32 weights ` +
      `(seed ${protocol.seed}); ${(bytesPerToken / 1e6).toFixed(1)} MB of float32 weights are read per decoded ` +
      "token.",
    `Batch 1, prompt of ${protocol.promptTokens} tokens, then ${protocol.decodeTokens} greedy tokens with a ` +
      `cache; ${protocol.rounds} interleaved rounds, a fresh process per peer and round, ${protocol.passes} ` +
      `passes each after ${protocol.warmups} untimed. Median [slowest, fastest round]; a ratio is ours (float32, ` +
      "same threads) / peer in the same round.",
    "",
    ...table(
      [
        "peer",
        "prefill tokens/s",
        "ours / peer",
        "decode tokens/s",
        "ours / peer",
        "weights read, GB/s",
        "logits error (allowed)",
        "same argmax",
      ],
      decoding.map(decodeCells),
    ),
  ];
  if (headTraining.length > 0) {
    lines.push(
      "",
      `Head-training step: ${shape.hiddenSize} -> ${shape.vocabSize}, KL, batch ${training.batch}, Adam, one ` +
        `thread; ${protocol.steps} steps per round.`,
      "",
      ...table(["peer", "ms per step", "peer / ours", "loss error"], headTraining.map(trainCells)),
    );
  }
  const rows = [...decoding, ...headTraining];
  const missing = rows.filter(({ status }) => status !== "measured" && status !== "not timed");
  if (missing.length > 0)
    lines.push("", "Not measured:", "", ...missing.map((row) => `* ${labelOf(row)}: ${row.status}. ${row.info}`));
  const ran = rows.filter((row) => !missing.includes(row));
  if (ran.length > 0) lines.push("", "What ran:", "", ...new Set(ran.map((row) => `* ${labelOf(row)}: ${row.info}`)));
  if (report.notAsked.length > 0) lines.push("", `Not asked for: ${report.notAsked.join(", ")}.`);
  return `${lines.join("\n")}\n`;
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
    agreement
      ? `${agreement.error.toExponential(1)} ` +
        `(${agreement.tolerance.toExponential(1)})${agrees(agreement) ? "" : " disagrees"}`
      : "",
    agreement ? `${agreement.sameArgmax}/${agreement.rows}` : "",
  ];
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
