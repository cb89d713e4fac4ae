/**
 * Subject of the benchmark: heads, their records on calibration and test documents, unit times, and certified
 * policies. A folder that `npm run ship` wrote has all of them in files. For any other folder heads are trained on most
 * of a given text, policies are certified on a tenth of it, and judged on the last tenth.
 */
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import {
  checkCertificate,
  exactFill,
  type ExitHeads,
  measureUnitTimes,
  type Model,
  OptionError,
  type Policy,
  type SamplingOptions,
  type UnitTimes,
} from "early-exits";
import { calibrateRecords, type CalibrationRecords, recordDocuments } from "early-exits/calibrate";
import { readJson } from "early-exits/node";
import { openHeads, readParts } from "./texts.js";
import type { Parts } from "../ship/embedded.js";

/** The levels to certify for a folder that has no certificates. */
const LEVELS = [0.99, 0.95, 0.9, 0.8] as const;
const DELTA = 0.05;
const HEAD_STEPS = 600;

export interface CertifiedPolicy {
  readonly level: number;
  readonly policy: Policy;
}

export interface Subject {
  readonly heads: ExitHeads;
  /** The strictest level first. */
  readonly certified: readonly CertifiedPolicy[];
  readonly times: UnitTimes;
  readonly calibration: CalibrationRecords;
  readonly test: CalibrationRecords;
  readonly texts: Parts;
  /** Source of heads and certificates, in words. */
  readonly origin: string;
}

interface SubjectOptions {
  readonly model: Model;
  readonly folder: string;
  /** The folder of the heads; if it does not exist, heads are trained. */
  readonly headsFolder: string;
  /** Documents, for a folder without certificates. */
  readonly text: string | undefined;
  /** Positions in the cache while unit times are measured. */
  readonly context: number;
}

export async function openSubject({ model, folder, headsFolder, text, context }: SubjectOptions): Promise<Subject> {
  if (text === undefined && !existsSync(join(folder, "documents.json"))) {
    throw new OptionError(
      "bench-text",
      `bench: ${folder} holds no documents.json (npm run ship writes it); give --text FILE, documents like ` +
        "those the model will meet",
      { folder },
    );
  }
  const texts = await readParts(folder, text);
  const [heads, headsOrigin] = await openHeads(model, headsFolder, texts.train, HEAD_STEPS);
  const calibration = await recordDocuments(heads, texts.calibration);
  const test = await recordDocuments(heads, texts.test);
  const times = await measureUnitTimes(heads, { fill: exactFill(model.config), context });
  const certified =
    text === undefined ? await certificatesIn(join(folder, "certificates")) : await certify(calibration, heads, times);
  const origin = text === undefined ? "of the folder" : `made here, on ${texts.calibration.length} documents`;
  return {
    heads,
    certified,
    times,
    calibration,
    test,
    texts,
    origin: `${headsOrigin}; certificates ${origin}`,
  };
}

/** The same, but with policies certified for sampled text: those for greedy text promise nothing about it. */
export async function sampledSubject(subject: Subject, sampling: SamplingOptions): Promise<Subject> {
  const { heads, texts, times } = subject;
  const records = await recordDocuments(heads, texts.calibration, { sampling });
  return { ...subject, certified: await certify(records, heads, times) };
}

/** Records show what exact fills do, so every policy is certified and judged with one. */
async function certify(
  calibration: CalibrationRecords,
  { model }: ExitHeads,
  costs: UnitTimes,
): Promise<CertifiedPolicy[]> {
  const fill = exactFill(model.config);
  return Promise.all(
    LEVELS.map(async (agreement) => {
      const { policy } = await calibrateRecords(calibration, { agreement, delta: DELTA, fill, seed: 1, costs });
      return { level: agreement, policy };
    }),
  );
}

async function certificatesIn(folder: string): Promise<CertifiedPolicy[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".json"));
  const certificates = await Promise.all(
    names.map(async (name) => checkCertificate(await readJson(join(folder, name)))),
  );
  return certificates
    .sort((a, b) => b.agreement - a.agreement)
    .map(({ agreement, policy }) => ({ level: agreement, policy }));
}
