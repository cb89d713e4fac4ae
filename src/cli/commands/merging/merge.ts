/**
 * `early-exits merge`: makes of the parts that shards have written the file that one process would have made, bit for
 * bit. It needs no model: parts say what they were made of.
 */
import { mergeCalibration } from "../../../calibrate/parts/index.js";
import { reportScores } from "../../../evaluate/parts/index.js";
import { ShardError } from "../../../errors.js";
import { collectParts, commandOf } from "../../../node/parts/index.js";
import type { CommandDefinition } from "../../command.js";
import { type CommonOptions, type Io, UsageError, writeResult } from "../../io.js";
import {
  type EvaluatedMade,
  mergeStates,
  type RecordedMade,
  readRecords,
  readRuns,
  readScores,
  readTexts,
} from "../../spreading/index.js";
import { isExactFill } from "../../../exits/index.js";
import { finishCalibration } from "../calibrate.js";
import { finishEvaluation } from "../eval.js";
import { finishTexts } from "../generate.js";

export interface MergeSettings extends CommonOptions {
  readonly parts: string;
  readonly out?: string | undefined;
}

export const mergeCommand: CommandDefinition<MergeSettings> = {
  name: "merge",
  description: "Make one result of the parts that all shards of a command have written",
  positional: [{ syntax: "<parts>", description: "the folder that was given to --parts" }],
  options: [
    {
      flags: "--out <path>",
      description: "write there what one process would have written: a file, or of train the folder of --cache",
    },
  ],
  defaults: {},
  examples: ["merge parts --out policy.json"],
  run,
};

/** By command, what makes its result. */
const MERGERS: Readonly<Record<string, (settings: MergeSettings, io: Io) => Promise<void>>> = {
  calibrate: mergeCalibrationParts,
  train: mergeStatesParts,
  eval: mergeEvaluationParts,
  generate: mergeTextParts,
};

async function run(settings: MergeSettings, io: Io): Promise<void> {
  const command = await commandOf(settings.parts);
  const merge = MERGERS[command];
  if (merge !== undefined) return merge(settings, io);
  throw new ShardError(
    "part-foreign",
    `${settings.parts}: holds parts of the command "${command}", which this version does not know; merge them with ` +
      "the version that made them",
    { folder: settings.parts, command },
  );
}

async function mergeCalibrationParts(settings: MergeSettings, io: Io): Promise<void> {
  const parts = await collectParts(settings.parts, "records");
  const { description } = parts.run.made as RecordedMade;
  const { options } = description;
  const second = !("procedure" in options) && !isExactFill(options.fill ?? "lazy");
  const runs = second ? await readRuns(await collectParts(settings.parts, "runs")) : undefined;
  const calibration = await mergeCalibration(description, await readRecords(parts, description), runs);
  await finishCalibration(io, settings, calibration, description.subject.numLayers);
}

async function mergeEvaluationParts(settings: MergeSettings, io: Io): Promise<void> {
  const parts = await collectParts(settings.parts, "scores");
  const made = parts.run.made as EvaluatedMade;
  await finishEvaluation(io, settings, reportScores(await readScores(parts), made.description), made);
}

async function mergeTextParts(settings: MergeSettings, io: Io): Promise<void> {
  await finishTexts(io, settings, await readTexts(await collectParts(settings.parts, "texts")));
}

async function mergeStatesParts({ parts, out, json }: MergeSettings, io: Io): Promise<void> {
  if (out === undefined) throw new UsageError("merge: parts of train need --out, the folder that --cache will name");
  const folder = await mergeStates(await collectParts(parts, "states"), out);
  writeResult(io, { json }, { folder }, [`hidden states: ${folder}`]);
}
