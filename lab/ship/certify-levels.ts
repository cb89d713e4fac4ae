/** One certificate a level from the same records, each verified, with its policy judged on documents apart. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type ExitHeads, measureUnitTimes, verifyCertificate } from "early-exits";
import { calibrateRecords, type CalibrationRecords, playPolicy } from "early-exits/calibrate";
import type { FillName } from "early-exits/exits";
import { writeFileAtomic } from "early-exits/node";
import { percent } from "../report/format.js";
import type { ShippedLevel } from "./card.js";

const LEVELS = [0.99, 0.95, 0.9, 0.8] as const;
/** The share of the certified documents that candidate thresholds come from; the others test the candidates. */
const GRID_SHARE = 0.25;

/** Parts of a claim that differ from model to model. */
export interface Claim {
  readonly fill: FillName;
  /** Chance of a certificate that promises too much. @default 0.05 */
  readonly delta?: number;
  /** Certificates of a level, of which the fastest is used. @default 1 */
  readonly choices?: number;
  /** False: costs are multiply-adds, the same on every machine. @default true */
  readonly timed?: boolean;
  /** @default LEVELS */
  readonly levels?: readonly number[];
  /** One line on what the documents are. */
  readonly population?: string;
}

/** A verified certificate for each level, and its policy judged on the test records. */
export async function certifyLevels(
  heads: ExitHeads,
  calibration: CalibrationRecords,
  test: CalibrationRecords,
  { fill, delta = 0.05, timed = true, levels: asked = LEVELS, ...claim }: Claim,
): Promise<ShippedLevel[]> {
  // Costs are times: an int8 head's share of a block's time is smaller than its share of the multiply-adds.
  const costs = timed ? { costs: await measureUnitTimes(heads, { fill }) } : {};
  const levels: ShippedLevel[] = [];
  const unit = unitOf(calibration);
  for (const agreement of asked) {
    const options = { agreement, delta, ...claim, unit, fill, seed: 1, ...costs, gridShare: GRID_SHARE } as const;
    const { certificate } = await calibrateRecords(calibration, options);
    const { verdict, reasons } = await verifyCertificate(certificate, { records: calibration, heads });
    if (verdict !== "reproduced") {
      throw new Error(`the certificate at ${agreement} is not valid: ${reasons.join("; ")}`);
    }
    const outcome = playPolicy(test, certificate.policy);
    levels.push({ agreement, certificate, test: outcome });
    console.error(
      `${agreement}: depth ${outcome.meanDepth.toFixed(2)}, ` +
        `agreement on test documents ${percent(outcome.documentAgreement, 2)}`,
    );
  }
  return levels;
}

/** Groups, if each of them has one document: that takes no more of them, and assumes less. */
function unitOf({ documents }: CalibrationRecords): "document" | "group" {
  const groups = new Set(documents.flatMap(({ group }) => group ?? []));
  return groups.size === documents.length ? "group" : "document";
}

/**
 * Writes every certificate to a file named after its level in percent, and what else tells it from others. Files of
 * levels that are not among them leave: they made earlier promises.
 */
export async function writeCertificates(folder: string, levels: readonly ShippedLevel[], suffix = ""): Promise<void> {
  for (const level of LEVELS) {
    const file = join(folder, `${Math.round(100 * level)}${suffix}.json`);
    const made = levels.find(({ agreement }) => agreement === level);
    if (made) await writeFileAtomic(file, `${JSON.stringify(made.certificate)}\n`);
    else await rm(file, { force: true });
  }
}
