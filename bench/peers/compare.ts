/**
 * The run: first compares the logits of every configuration with the oracle's, then times those that agree in rounds,
 * one process at a time. The order is reversed in every second round, so that a drift of the machine favours neither
 * the first nor the last.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Agreement, agrees, compareLogits, LOSS_TOLERANCE, toleranceOf } from "./agreement.js";
import { labelOf } from "./configurations.js";
import type { Configuration, Job, Measured, Outcome } from "./peer.js";
import type { DecodeRow, TrainRow } from "./report.js";
import { runJob } from "./run-job.js";
import { type Protocol, shape } from "./shape.js";
import { median, spreadOf } from "./statistics.js";

export interface Setting {
  readonly folder: string;
  readonly device: string;
  readonly protocol: Protocol;
  /** Compare logits and losses only. */
  readonly checkOnly: boolean;
  readonly onProgress: (message: string) => void;
}

/** Outcomes of all rounds, by configuration. */
type Rounds = ReadonlyMap<string, readonly Outcome[]>;

/** Throws if the oracle itself fails. */
export async function compareDecoding(
  configurations: readonly Configuration[],
  setting: Setting,
): Promise<DecodeRow[]> {
  const { folder, onProgress, protocol } = setting;
  const output = join(folder, "logits.bin");
  const logitsOf = async (configuration: Configuration): Promise<{ outcome: Outcome; logits: Float32Array }> => {
    const outcome = await runJob({ ...configuration, ...setting, kind: "logits", output });
    return { outcome, logits: outcome.status === "measured" ? float32Of(await readFile(output)) : new Float32Array(0) };
  };
  onProgress("logits: reference (the oracle)");
  const oracle = await logitsOf({ peer: "reference", variant: "float32", threads: 1 });
  if (oracle.outcome.status !== "measured") {
    throw new Error(
      `peers: the reference device, which the others are compared with, gave no logits: ${oracle.outcome.reason}`,
    );
  }

  const checked: DecodeRow[] = [];
  for (const configuration of configurations) {
    const { outcome, logits } = await logitsOf(configuration);
    const row =
      outcome.status === "measured"
        ? checkedRow(
            configuration,
            outcome,
            compareLogits(oracle.logits, logits, shape.vocabSize, toleranceOf(configuration)),
          )
        : { ...configuration, status: outcome.status, info: outcome.reason };
    checked.push(row);
    onProgress(`logits: ${labelOf(row)}: ${checkSummary(row)}`);
  }
  if (setting.checkOnly) return checked;

  const rounds = await timeRounds(
    checked.filter(({ status }) => status === "not timed"),
    "decode",
    setting,
  );
  const speeds = (configuration: Configuration, kind: "prefill" | "decode"): number[] => {
    const tokens = kind === "prefill" ? protocol.promptTokens : protocol.decodeTokens;
    return measuredOf(rounds, configuration).map((round) => (1000 * tokens) / median(round[kind]!));
  };
  return checked.map((row): DecodeRow => {
    if (row.status !== "not timed") return row;
    const failure = failureOf(rounds, row);
    if (failure !== undefined) return { ...row, status: "failed", info: failure };
    const ours: Configuration = { peer: "ours", variant: "float32", threads: row.threads };
    const ratios = (
      kind: "prefill" | "decode",
    ): { readonly [K in `${typeof kind}Ratio`]?: ReturnType<typeof spreadOf> } => {
      const top = speeds(ours, kind);
      const bottom = speeds(row, kind);
      return top.length === bottom.length
        ? { [`${kind}Ratio`]: spreadOf(top.map((value, i) => value / bottom[i]!)) }
        : {};
    };
    const measured = measuredOf(rounds, row);
    return {
      ...row,
      status: "measured",
      prefill: spreadOf(speeds(row, "prefill")),
      decode: spreadOf(speeds(row, "decode")),
      ...ratios("prefill"),
      ...ratios("decode"),
      samples: { prefill: measured.map(({ prefill }) => prefill!), decode: measured.map(({ decode }) => decode!) },
    };
  });
}

/** The row of a configuration whose logits were compared with the oracle's. */
function checkedRow(configuration: Configuration, { info }: Measured, agreement: Agreement): DecodeRow {
  if (agrees(agreement)) return { ...configuration, status: "not timed", agreement, info };
  const found = agreement.error.toExponential(1);
  const allowed = agreement.tolerance.toExponential(1);
  const difference = `logits differ by ${found}, allowed ${allowed}`;
  return { ...configuration, status: "disagrees", agreement, info: `${info}: ${difference}` };
}

function checkSummary({ status, agreement, info }: DecodeRow): string {
  if (agreement === undefined) return `${status}: ${info}`;
  return `error ${agreement.error.toExponential(2)}, argmax ${agreement.sameArgmax}/${agreement.rows}`;
}

/** The same for training steps; every loss of the first round must agree with the median over all configurations. */
export async function compareTraining(configurations: readonly Configuration[], setting: Setting): Promise<TrainRow[]> {
  const rounds = await timeRounds(
    configurations,
    "train",
    setting.checkOnly ? { ...setting, protocol: { ...setting.protocol, rounds: 1, steps: 1 } } : setting,
  );
  const lossesOf = (configuration: Configuration): readonly number[] =>
    measuredOf(rounds, configuration)[0]?.losses ?? [];
  const everyone = configurations.map(lossesOf).filter(({ length }) => length > 0);
  const times = (configuration: Configuration): number[] =>
    measuredOf(rounds, configuration).map(({ step }) => median(step!));
  return configurations.map((configuration): TrainRow => {
    const measured = measuredOf(rounds, configuration);
    const failure = failureOf(rounds, configuration);
    if (failure !== undefined) {
      const absent = rounds.get(labelOf(configuration))![0]!.status === "absent";
      return { ...configuration, status: absent ? "absent" : "failed", info: failure };
    }
    const losses = lossesOf(configuration);
    const lossError = Math.max(...losses.map((loss, i) => Math.abs(loss / median(everyone.map((all) => all[i]!)) - 1)));
    const ours = times({ peer: "ours", variant: "float32", threads: configuration.threads });
    const status = lossError <= LOSS_TOLERANCE ? (setting.checkOnly ? "not timed" : "measured") : "disagrees";
    const { info } = measured[0]!;
    if (status !== "measured") return { ...configuration, status, info, losses, lossError };
    return {
      ...configuration,
      status,
      info,
      step: spreadOf(times(configuration)),
      losses,
      lossError,
      ...(ours.length === measured.length && {
        ratio: spreadOf(times(configuration).map((time, i) => time / ours[i]!)),
      }),
      samples: measured.map(({ step }) => step!),
    };
  });
}

async function timeRounds(
  configurations: readonly Configuration[],
  kind: "decode" | "train",
  { folder, device, protocol, onProgress }: Setting,
): Promise<Rounds> {
  const rounds = new Map<string, Outcome[]>(configurations.map((configuration) => [labelOf(configuration), []]));
  for (let round = 0; round < protocol.rounds; round++) {
    for (const configuration of round % 2 === 0 ? configurations : configurations.toReversed()) {
      const job: Job = {
        peer: configuration.peer,
        variant: configuration.variant,
        threads: configuration.threads,
        kind,
        folder,
        device,
        protocol,
        output: "",
      };
      const outcome = await runJob(job);
      rounds.get(labelOf(configuration))!.push(outcome);
      onProgress(`${kind} ${round + 1}/${protocol.rounds}: ${labelOf(configuration)}: ${summaryOf(outcome, protocol)}`);
    }
  }
  return rounds;
}

function summaryOf(outcome: Outcome, { promptTokens, decodeTokens }: Protocol): string {
  if (outcome.status !== "measured") return `${outcome.status}: ${outcome.reason}`;
  const { prefill, decode, step } = outcome;
  if (step) return `${median(step).toFixed(1)} ms per step`;
  return (
    `prefill ${((1000 * promptTokens) / median(prefill!)).toFixed(1)}, ` +
    `decode ${((1000 * decodeTokens) / median(decode!)).toFixed(1)} tokens/s`
  );
}

function measuredOf(rounds: Rounds, configuration: Configuration): Measured[] {
  return (rounds.get(labelOf(configuration)) ?? []).filter((outcome) => outcome.status === "measured");
}

/** Why a configuration has no complete set of rounds; one failed round is enough, because ratios pair rounds. */
function failureOf(rounds: Rounds, configuration: Configuration): string | undefined {
  return rounds.get(labelOf(configuration))?.find((outcome) => outcome.status !== "measured")?.reason;
}

function float32Of(bytes: Buffer): Float32Array {
  return new Float32Array(new Uint8Array(bytes).buffer);
}
