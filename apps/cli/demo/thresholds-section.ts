/**
 * Section 3: thresholds certified on calibration documents, tried on test documents. If the folder has a certificate
 * for the same promise from more documents, the later sections use its policy.
 */
import { join } from "node:path";
import {
  type Certificate,
  checkCertificate,
  exactFill,
  type ExitHeads,
  type Policy,
  verifyCertificate,
} from "early-exits";
import {
  calibratePaper,
  calibrateRecords,
  type CalibrationRecords,
  playPolicy,
  recordDocuments,
} from "early-exits/calibrate";
import { fileExists, readJson } from "early-exits/node";
import { leaves } from "../calibration-lines.js";
import { withProgress } from "../progress.js";
import type { Demo, DemoDocument } from "./demo.js";
import type { DemoHeads } from "./heads-section.js";

export interface CertifiedPolicy {
  readonly policy: Policy;
  /** undefined if nothing could be certified: then the policy is the paper's. */
  readonly certificate: Certificate | undefined;
  /** Verdict of the verifier, which shares no code with calibration. */
  readonly valid: boolean;
}

export type ThresholdsSection = Awaited<ReturnType<typeof chooseThresholds>>;

/** Shares of the demo's seconds. */
const CALIBRATION_SHARE = 1.5;
const TEST_SHARE = 0.6;
const FEWEST_DOCUMENTS = 8;

export async function chooseThresholds(demo: Demo, { used: heads, shipped }: DemoHeads) {
  const { documents, model } = demo;
  const calibration = await recordWithin(demo, "calibrate", heads, documents.calibration, CALIBRATION_SHARE);
  const test = await recordWithin(demo, "test", heads, documents.test, TEST_SHARE);
  const here = await certify(demo, calibration);
  const brought = shipped && (await certificateInFolder(demo, shipped));
  const used: CertifiedPolicy = brought ?? here;
  return {
    calibrationDocuments: calibration.documents.length,
    here,
    brought,
    used,
    outcome: playPolicy(test, used.policy),
    numLayers: model.config.numLayers,
  };
}

/** Stops at that share of the demo's seconds, but after no fewer than eight documents. */
function recordWithin(
  { io, seconds }: Demo,
  label: string,
  heads: ExitHeads,
  documents: readonly DemoDocument[],
  share: number,
): Promise<CalibrationRecords> {
  return withProgress(io, label, async (report) => {
    const started = io.now();
    const parts: CalibrationRecords[] = [];
    for (const { text } of documents) {
      if (parts.length >= FEWEST_DOCUMENTS && (io.now() - started) / 1000 > share * seconds) break;
      parts.push(await recordDocuments(heads, [text], { signal: io.signal }));
      await report({ done: parts.length, total: documents.length, text: "documents" });
    }
    return { ...parts[0]!, documents: parts.flatMap((part) => part.documents) };
  });
}

/** If nothing can be certified, the paper's policy. */
async function certify({ agreement, delta, seed, model }: Demo, records: CalibrationRecords): Promise<CertifiedPolicy> {
  const fill = exactFill(model.config);
  const { policy, certificate } = await calibrateRecords(records, { agreement, delta, fill, seed });
  if (leaves(policy)) {
    const { verdict } = await verifyCertificate(certificate, { records });
    return { policy, certificate, valid: verdict === "reproduced" };
  }
  const paper = calibratePaper(records, { agreement, fill, score: "margin" });
  return { policy: paper.policy, certificate: undefined, valid: false };
}

/** Finds a certificate for this agreement, at delta or below, and verifies it; undefined if there is none. */
async function certificateInFolder(
  { folder, agreement, delta }: Demo,
  heads: ExitHeads,
): Promise<(CertifiedPolicy & { readonly certificate: Certificate }) | undefined> {
  const path = join(folder, "certificates", `${Math.round(100 * agreement)}.json`);
  if (!(await fileExists(path))) return undefined;
  const certificate = checkCertificate(await readJson(path));
  if (certificate.agreement !== agreement || certificate.delta > delta) return undefined;
  const { verdict } = await verifyCertificate(certificate, { heads });
  return { policy: certificate.policy, certificate, valid: verdict !== "refuted" };
}
