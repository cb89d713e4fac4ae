/** Commands whose work several processes share. */
export { type RecordedMade, readRecords, readRuns, writeCalibrationPart } from "./calibration-parts.js";
export { type EvaluatedMade, ownItems, readScores, writeEvaluationPart } from "./evaluation-parts.js";
export { openPlace, type PartPlace, requireWhole, shardOptions, type ShardSettings } from "./shard-options.js";
export { mergeStates, writeStatesPart } from "./state-parts.js";
export { readTexts, writeTextPart } from "./text-parts.js";
export { readTimes, writeTimes } from "./times-file.js";
