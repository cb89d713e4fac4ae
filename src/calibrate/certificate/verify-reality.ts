/**
 * A certificate whose stored arithmetic holds, against reality, as far as it is at hand:
 *   model, heads     are they the ones that were certified, stored in the same way?
 *   records          do the recorded scores give the stored counts, for every candidate? (fills that leave other tokens alone)
 *   heads, documents do the documents have the stored hashes, and does the deployed decoder, run on them, give the accepted counts?
 * Nothing of what made the certificate is called: only the model, its heads and the decoder.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { earlyExitDecoder } from "../../exits/decode/index.js";
import { type Document, type Model, Sequence } from "../../model/index.js";
import { isExactFill } from "../../exits/fill/index.js";
import { exitFires, type ExitHeads, scoreAt } from "../../exits/heads/index.js";
import { createSampler } from "../../model/decode/index.js";
import { createRng } from "../../tensor/index.js";
import type { Certificate, CertificateCounts } from "./certificate.js";
import type { CalibrationRecords, DocumentRecord } from "../record/index.js";

/** What a certificate is checked against. */
export interface VerifyOptions {
  readonly records?: CalibrationRecords;
  readonly model?: Model;
  /** The heads; their model is checked too. */
  readonly heads?: ExitHeads;
  /**
   * The calibration documents, in any order. Needs heads: the policy is run on those of the test, one after another.
   */
  readonly documents?: readonly Document[];
  readonly signal?: CancelSignal;
  /** Called after every document that was run; a promise is waited for. */
  readonly onDocument?: (event: { readonly document: number; readonly documents: number }) => unknown;
}

/** Every way in which what is given is not as the certificate says; none where it holds. */
export async function verifyReality(c: Certificate, options: VerifyOptions): Promise<string[]> {
  const { records, heads, documents } = options;
  const model = heads?.model ?? options.model;
  const reasons: string[] = [];
  const { modelHash, headsHash, certified } = c.policy;
  if (model !== undefined) {
    if ((await model.hash()) !== modelHash) reasons.push("model: it is not the one that was certified");
    if (model.dtype !== certified!.dtype) {
      reasons.push(`model: its weights are stored as ${model.dtype}, not as ${certified!.dtype}`);
    }
    if (model.config.numLayers !== c.numLayers) {
      reasons.push(`model: it has ${model.config.numLayers} blocks, not ${c.numLayers}`);
    }
  }
  if (heads !== undefined) {
    if ((await heads.hash()) !== headsHash) reasons.push("heads: they are not the ones that were certified");
    if (heads.depths.join() !== c.policy.exits.map(({ depth }) => depth).join()) {
      reasons.push(`heads: they are at depths ${heads.depths.join(", ")}`);
    }
  }
  if (records !== undefined) reasons.push(...checkRecords(c, records));
  if (heads !== undefined && documents !== undefined && reasons.length === 0) {
    reasons.push(...(await checkRuns(c, heads, documents, options)));
  }
  return reasons;
}

function checkRecords(c: Certificate, records: CalibrationRecords): string[] {
  const { policy, documents, split, tests, accepted, sequenceLength } = c;
  if (records.modelHash !== policy.modelHash || records.headsHash !== policy.headsHash) {
    return ["records: they are of another model or other heads"];
  }
  if (records.dtype !== policy.certified!.dtype) {
    return [`records: their weights were stored as ${records.dtype}, not as ${policy.certified!.dtype}`];
  }
  if (
    records.depths.join() !== policy.exits.map(({ depth }) => depth).join() ||
    records.sequenceLength !== sequenceLength
  ) {
    return ["records: other exits, or windows of another length"];
  }
  const byHash = new Map(records.documents.map((record) => [record.hash, record]));
  const found = documents.map(({ hash }) => byHash.get(hash));
  const missing = found.findIndex((record, i) => record?.positions !== documents[i]!.tokens);
  if (missing >= 0) {
    return [`records: document ${documents[missing]!.hash.slice(0, 12)}… is not there, or has another length`];
  }
  if (found.length !== records.documents.length) {
    return [`records: ${records.documents.length} documents were recorded, the certificate uses ${found.length}`];
  }
  if (!isExactFill(policy.fill)) return [];
  const inTest = found.slice(split.grid).map((record) => record!);
  const reasons: string[] = [];
  const compare = (name: string, counts: CertificateCounts, of: readonly DocumentRecord[]): void => {
    if (
      !matches(
        counts,
        of.map((record) => countRecord(record, counts.thresholds, c)),
      )
    ) {
      reasons.push(`records: ${name} does something else on them`);
    }
  };
  tests.forEach(({ candidates, first, documents: count }, t) => {
    candidates.forEach((candidate, i) => {
      compare(`candidate ${i} of test ${t}`, candidate, inTest.slice(first, first + count));
    });
  });
  compare("the certified vector", accepted, inTest);
  return reasons;
}

/** What happened in one document. */
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
  const texts = documents
    .map((document) => (typeof document === "string" ? model.tokenizer.encode(document) : document))
    .filter(({ length }) => length >= 2);
  const byHash = new Map(await Promise.all(texts.map(async (ids) => [await sha256(ids.join(",")), ids] as const)));
  const found = c.documents.map(({ hash }) => byHash.get(hash));
  const missing = found.indexOf(undefined);
  if (missing >= 0) return [`documents: ${c.documents[missing]!.hash.slice(0, 12)}… is not among them`];
  const test = found.slice(c.split.grid);
  const exits = heads.depths.length;
  for (const [d, ids] of test.entries()) {
    signal?.throwIfAborted();
    const { counted, tokens } = await runDocument(c, heads, ids!);
    if (tokens !== c.documents[c.split.grid + d]!.tokens) {
      return [`documents: test document ${d} has ${tokens} tokens, not ${c.documents[c.split.grid + d]!.tokens}`];
    }
    const { thresholds, left, wrong, deep } = c.accepted;
    const stored = {
      thresholds,
      left: left.slice(d * exits, (d + 1) * exits),
      wrong: wrong.slice(d * exits, (d + 1) * exits),
      deep: deep.slice(d, d + 1),
    };
    if (!matches(stored, [counted])) {
      return [
        `documents: run on test document ${d}, the policy does something else than stored ` +
          `(left ${counted.left.join(", ")}; wrong ${counted.wrong.join(", ")}; at full depth ${counted.deep}); ` +
          `the device here is ${model.device.backend}, it was ${c.backend}`,
      ];
    }
    await onDocument?.({ document: d + 1, documents: test.length });
  }
  return [];
}

/** The deployed decoder on one document, token by token, beside the full model's logits. */
async function runDocument(
  { policy, sequenceLength }: Certificate,
  heads: ExitHeads,
  ids: readonly number[],
): Promise<{ counted: Counted; tokens: number }> {
  const { model } = heads;
  const { vocabSize } = model.config;
  const counted: Counted = { left: policy.exits.map(() => 0), wrong: policy.exits.map(() => 0), deep: 0 };
  const decoder = earlyExitDecoder(heads, policy);
  const sampler = createSampler({}, createRng(0));
  let tokens = 0;
  for (let begin = 0; begin < ids.length; begin += sequenceLength) {
    const window = ids.slice(begin, begin + sequenceLength);
    if (window.length < 2) continue; // a single token at the end is not judged
    const logits = await model.logits(window);
    const sequence = new Sequence(model, window.length);
    try {
      for (const [t, id] of window.entries()) {
        sequence.append(id);
        const [round] = await decoder.next([{ sequence, sampler, room: 1 }]);
        const { id: emitted, exit } = round!.tokens[0]!;
        const row = logits.subarray(t * vocabSize, (t + 1) * vocabSize);
        const differs = Number(emitted !== row.indexOf(row.reduce((most, value) => Math.max(most, value), -Infinity)));
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
