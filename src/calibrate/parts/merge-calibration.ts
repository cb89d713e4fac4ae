/**
 * What one process would have made of the same documents, from what several have recorded and run. Nothing is added up
 * before: parts hold documents, and everything is computed here in the order that one process has.
 */
import { ShardError } from "../../errors.js";
import { isExactFill } from "../../exits/fill/index.js";
import { type Certified, certify, certifySettings } from "../certify/index.js";
import { calibratePaper, type PaperCalibration } from "../paper/index.js";
import {
  arrange,
  type CalibrationRecords,
  type DocumentRecord,
  ranEvidence,
  recordedEvidence,
} from "../record/index.js";
import type { JobDescription } from "./calibration-job.js";
import { runsOf, type RunsChunk } from "./runs-chunk.js";

/**
 * The calibration from all records, in the order of their units, and all runs if there was a second round. Throws a
 * ShardError if they do not belong together.
 */
export async function mergeCalibration(
  description: JobDescription,
  records: readonly DocumentRecord[],
  runs?: RunsChunk,
): Promise<Certified | PaperCalibration> {
  const { subject, sequenceLength, options } = description;
  const recorded: CalibrationRecords = { ...subject, sequenceLength, documents: records };
  if ("procedure" in options) return calibratePaper(recorded, options);
  const settings = certifySettings(options);
  if (isExactFill(settings.fill)) {
    return certify(recordedEvidence(recorded, await arrange(records, settings)), settings);
  }
  if (runs === undefined) throw misfit(`with fill "${settings.fill}" candidates have to be run`);
  const arrangement = await arrange(runs.documents, settings);
  const grid = arrangement.order.slice(0, arrangement.grid).map((index) => runs.documents[index]!.hash);
  if (records.map(({ hash }) => hash).join() !== grid.join()) {
    throw misfit("the records are not those of the grid split");
  }
  return certify(ranEvidence(records, runsOf(description, runs), arrangement), settings);
}

function misfit(found: string): ShardError {
  return new ShardError("parts-misfit", `mergeCalibration: ${found}; make the parts again`);
}
