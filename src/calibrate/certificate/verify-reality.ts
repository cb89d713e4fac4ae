/**
 * A certificate whose stored arithmetic holds, checked against reality, as far as it is given:
 *   model, heads       are they the certified ones, with weights stored in the same way?
 *   records            do the recorded scores give the stored counts of every candidate? (exact fills only)
 *   heads, documents   do the documents have the stored hashes, and does the decoder, run on them with the certified
 *                      policy, give the accepted counts?
 * No code that makes certificates is called: only the model, its heads and the decoder.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { earlyExitDecoder } from "../../exits/decode/index.js";
import { isExactFill } from "../../exits/fill/index.js";
import { exitFires, type ExitHeads, scoreAt } from "../../exits/heads/index.js";
import { argmaxOf, createSampler } from "../../model/decode/index.js";
import { type Document, markedDocument, type Model, Sequence } from "../../model/index.js";
import { createRng } from "../../tensor/index.js";
import type { CalibrationRecords, DocumentRecord } from "../record/index.js";
import type { Certificate, CertificateCounts } from "./certificate.js";
import { giveTurn } from "../../turns.js";

/** What a certificate is checked against. */
export interface VerifyOptions {
  readonly records?: CalibrationRecords;
  readonly model?: Model;
  /** The heads; their model is checked too. */
  readonly heads?: ExitHeads;
  /** The calibration documents, in any order. Needs heads: the policy is run on every test document. */
  readonly documents?: readonly Document[];
  readonly signal?: CancelSignal;
  /** Called after every document that was run; a promise is awaited. */
  readonly onDocument?: (event: { readonly document: number; readonly documents: number }) => unknown;
}

/** What is not as the certificate says; empty if everything given agrees with it. */
export async function verifyReality(c: Certificate, options: VerifyOptions): Promise<string[]> {
  const { records, heads, documents } = options;
  const model = heads?.model ?? options.model;
  const reasons = [
    ...(model === undefined ? [] : await checkModel(c, model)),
    ...(heads === undefined ? [] : await checkHeads(c, heads)),
    ...(records === undefined ? [] : checkRecords(c, records)),
  ];
  if (reasons.length > 0 || heads === undefined || documents === undefined) return reasons;
  return checkRuns(c, heads, documents, options);
}

async function checkModel({ policy, numLayers }: Certificate, model: Model): Promise<string[]> {
  const { dtype } = policy.certified!;
  const reasons: string[] = [];
  if ((await model.hash()) !== policy.modelHash) reasons.push("model: it is not the one that was certified");
  if (model.storedAs !== dtype) reasons.push(`model: its weights are stored as ${model.storedAs}, not as ${dtype}`);
  if (model.config.numLayers !== numLayers) {
    reasons.push(`model: it has ${model.config.numLayers} blocks, not ${numLayers}`);
  }
  return reasons;
}

async function checkHeads({ policy }: Certificate, heads: ExitHeads): Promise<string[]> {
  const depths = depthsOf(policy);
  const reasons: string[] = [];
  if ((await heads.hash()) !== policy.headsHash) reasons.push("heads: they are not the ones that were certified");
  if (heads.depths.join() !== depths.join()) {
    reasons.push(`heads: they are at depths ${heads.depths.join(", ")}, not ${depths.join(", ")}`);
  }
  return reasons;
}

function depthsOf({ exits }: Certificate["policy"]): number[] {
  return exits.map(({ depth }) => depth);
}

function checkRecords(c: Certificate, records: CalibrationRecords): string[] {
  const { policy, documents, split, sequenceLength } = c;
  const { dtype } = policy.certified!;
  if (records.modelHash !== policy.modelHash || records.headsHash !== policy.headsHash) {
    return ["records: they are of another model or other heads"];
  }
  if (records.dtype !== dtype) return [`records: the weights were stored as ${records.dtype}, not as ${dtype}`];
  if (records.depths.join() !== depthsOf(policy).join() || records.sequenceLength !== sequenceLength) {
    return ["records: their exits or their window length are not those of the certificate"];
  }
  const byHash = new Map(records.documents.map((record) => [record.hash, record]));
  const found = documents.map(({ hash }) => byHash.get(hash));
  const missing = found.findIndex((record, i) => record?.positions !== documents[i]!.tokens);
  if (missing >= 0) {
    return [`records: document ${shortHash(documents[missing]!)} is not among them, or has another length`];
  }
  if (found.length !== records.documents.length) {
    return [`records: ${records.documents.length} documents were recorded, but the certificate uses ${found.length}`];
  }
  if (!isExactFill(policy.fill)) return [];
  return checkRecordedCounts(
    c,
    found.slice(split.grid).map((record) => record!),
  );
}

function shortHash({ hash }: { readonly hash: string }): string {
  return `${hash.slice(0, 12)}…`;
}

/** Compares the stored counts of every candidate with what the candidate does on the records of the test documents. */
function checkRecordedCounts(c: Certificate, records: readonly DocumentRecord[]): string[] {
  const reasons: string[] = [];
  const compare = (name: string, counts: CertificateCounts, on: readonly DocumentRecord[]): void => {
    const counted = on.map((record) => countRecord(record, counts.thresholds, c));
    if (!matches(counts, counted)) reasons.push(`records: the stored counts of ${name} do not match them`);
  };
  c.tests.forEach(({ candidates, first, documents: count }, t) => {
    candidates.forEach((candidate, i) => {
      compare(`candidate ${i} of test ${t}`, candidate, records.slice(first, first + count));
    });
  });
  compare("the certified vector", c.accepted, records);
  return reasons;
}

/** Counts of one document, as in a certificate. */
interface Counted {
  readonly left: number[];
  readonly wrong: number[];
  deep: number;
}

function countRecord(
  { exits, positions }: DocumentRecord,
  thresholds: CertificateCounts["thresholds"],
  { policy: { score } }: Certificate,
): Counted {
  const counted: Counted = { left: thresholds.map(() => 0), wrong: thresholds.map(() => 0), deep: 0 };
  for (let t = 0; t < positions; t++) {
    const exit = thresholds.findIndex((threshold, e) => exitFires(scoreAt(exits[e]!, t, score), threshold, score));
    if (exit < 0) continue;
    counted.left[exit]!++;
    if (exits[exit]!.agrees[t] !== 1) counted.wrong[exit]!++;
  }
  return counted;
}

function matches({ left, wrong, deep }: CertificateCounts, counted: readonly Counted[]): boolean {
  const deeper = counted.map((one) => one.deep);
  return (
    left.join() === counted.flatMap((one) => one.left).join() &&
    wrong.join() === counted.flatMap((one) => one.wrong).join() &&
    (deep.length === 0 ? deeper.every((count) => count === 0) : deep.join() === deeper.join())
  );
}

async function checkRuns(
  c: Certificate,
  heads: ExitHeads,
  documents: readonly Document[],
  { signal, onDocument }: VerifyOptions,
): Promise<string[]> {
  const { model } = heads;
  await heads.freeze();
  const texts = documents.map((document) => markedDocument(model, document).ids).filter(({ length }) => length >= 2);
  const byHash = new Map(await Promise.all(texts.map(async (ids) => [await sha256(ids.join(",")), ids] as const)));
  const found = c.documents.map(({ hash }) => byHash.get(hash));
  const missing = found.indexOf(undefined);
  if (missing >= 0) return [`documents: ${shortHash(c.documents[missing]!)} is not among them`];
  const test = found.slice(c.split.grid);
  for (const [d, ids] of test.entries()) {
    await giveTurn(signal);
    const { counted, tokens } = await runDocument(c, heads, ids!);
    const stored = c.documents[c.split.grid + d]!.tokens;
    if (tokens !== stored) return [`documents: test document ${d} has ${tokens} tokens, not ${stored}`];
    if (!matches(acceptedOn(c, d), [counted])) {
      return [
        `documents: on test document ${d} the policy does not do what the certificate stores ` +
          `(found: left ${counted.left.join(", ")}; wrong ${counted.wrong.join(", ")}; ` +
          `changed at full depth ${counted.deep}). The backend here is ${model.device.backend}; it was ${c.backend}`,
      ];
    }
    await onDocument?.({ document: d + 1, documents: test.length });
  }
  return [];
}

/** The accepted counts of one test document. */
function acceptedOn({ accepted, policy }: Certificate, document: number): CertificateCounts {
  const { thresholds, left, wrong, deep } = accepted;
  const begin = document * policy.exits.length;
  const end = begin + policy.exits.length;
  return {
    thresholds,
    left: left.slice(begin, end),
    wrong: wrong.slice(begin, end),
    deep: deep.slice(document, document + 1),
  };
}

/** Runs the decoder on one document, token by token, and compares its tokens with the full model's. */
async function runDocument(
  { policy, sequenceLength }: Certificate,
  heads: ExitHeads,
  ids: readonly number[],
): Promise<{ counted: Counted; tokens: number }> {
  const { model } = heads;
  const { vocabSize } = model.config;
  const counted: Counted = { left: policy.exits.map(() => 0), wrong: policy.exits.map(() => 0), deep: 0 };
  const decoder = earlyExitDecoder(heads, policy);
  const sampler = createSampler({}, createRng(0)); // greedy: it draws nothing
  let tokens = 0;
  for (let begin = 0; begin < ids.length; begin += sequenceLength) {
    const window = ids.slice(begin, begin + sequenceLength);
    if (window.length < 2) continue; // a single token at the end is not judged
    const logits = await model.logits(window); // [T, V]
    const sequence = new Sequence(model, window.length);
    try {
      for (const [t, id] of window.entries()) {
        sequence.append(id);
        const [round] = await decoder.next([{ sequence, sampler, room: 1 }]);
        const { id: emitted, exit } = round!.tokens[0]!;
        const differs = Number(emitted !== argmaxOf(logits.subarray(t * vocabSize, (t + 1) * vocabSize)));
        tokens++;
        if (exit === undefined) counted.deep += differs;
        else {
          counted.left[exit]!++;
          counted.wrong[exit]! += differs;
        }
      }
    } finally {
      sequence.dispose();
    }
  }
  return { counted, tokens };
}
async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
