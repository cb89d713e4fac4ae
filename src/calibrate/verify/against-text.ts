/**
 * A certificate against its text, as records or as documents with heads: duplicates are found, documents split,
 * candidates proposed and counted again. With heads, the policy runs too (against-decoder.ts). Of own text, every
 * tested candidate writes again after the same prompts in the same order, and the reference judges every token again;
 * its candidates were proposed on other documents. On another build of the kernels, last bits of scores may differ, and
 * so may candidates, counts and written text; the policy must keep the claim all the same.
 */
import { isExactFill } from "../../exits/fill/fill.js";
import { scoreAt, type ScoreName, type Threshold } from "../../exits/heads/score.js";
import { giveTurn } from "../../turns.js";
import type { Certificate, CertificateCounts } from "../certificate/certificate.js";
import { planTest } from "../certify/fixed-sequence.js";
import { certifySettings, type CertifySettings } from "../certify/settings.js";
import { orientThreshold, rawVector } from "../procedures/token-table.js";
import { type Counted as CountedDocument, hashDocuments } from "../record/documents.js";
import {
  countedEvidence,
  type Evidence,
  firstCounted,
  readOnce,
  recordedEvidence,
  streamedEvidence,
} from "../record/evidence.js";
import type { DocumentRecord } from "../record/record.js";
import { arrange, type Arrangement } from "../record/split.js";
import { judgedBy, type Subject, subjectCosts } from "../record/subject.js";
import { type Counted, runDocument } from "./against-decoder.js";
import type { VerifyOptions } from "./against-model.js";
import { checkDocuments, classDocuments } from "./check-documents.js";

export interface TextFindings {
  readonly reasons: readonly string[];
  /** Why nothing is known of how the policy was chosen. */
  readonly unchecked?: string | undefined;
}

interface Opened {
  /** Evidence from the documents that the certificate names. */
  readonly evidence: Evidence;
  /** Token ids and first judged position, if there are heads to run. */
  readonly text?: (index: number) => { readonly ids: readonly number[]; readonly from: number };
}

interface Source extends Opened {
  /** Documents given that did not teach the heads, copies included. */
  readonly given: number;
  /** Documents given that did. */
  readonly taught: number;
}

// The candidates, proposed again from the grid split: this shows thresholds that were chosen on the test documents.
// Costs in milliseconds cannot be measured twice, so the stored ones are used.

/** Differences of candidates, costs or score. */
export async function proposeAgain(c: Certificate, evidence: Evidence, asked: CertifySettings): Promise<string[]> {
  const { policy, costs, costUnit } = c;
  const { score, fill } = policy;
  if (costUnit === "multiplyAdds") {
    const { reach, head, full } = subjectCosts(evidence.subject, fill);
    if (JSON.stringify([reach, head, full]) !== JSON.stringify([costs.reach, costs.head, costs.full])) {
      return ["costs: they are not the multiply-adds of this model and these heads"];
    }
  }
  const settings = costUnit === "milliseconds" ? { ...asked, knownCosts: costs } : asked;
  const again = await planTest(evidence, settings);
  if (again.score !== score) return [`candidates: the grid split proposes the score ${again.score}, not ${score}`];
  const { planned, candidates } = c.test ?? { planned: 0, candidates: [] };
  if (planned !== again.vectors.length) {
    return [`test: ${planned} candidates are said to be planned; the grid split proposes ${again.vectors.length}`];
  }
  const inWords = again.vectors.map((vector) => rawVector(vector, score).join(", "));
  const other = candidates.findIndex(({ thresholds }, i) => thresholds.join(", ") !== inWords[i]);
  if (other >= 0) {
    const { thresholds } = candidates[other]!;
    return [
      `test: candidate ${other} has the thresholds ${thresholds.join(", ")}; the grid split proposes ${inWords[other]}`,
    ];
  }
  const price = candidates.findIndex(({ cost }, i) => Math.abs(cost - again.costs[i]!) > 1e-9 * cost);
  if (price < 0) return [];
  return [
    `test: candidate ${price} is said to cost ${candidates[price]!.cost}; on the grid split it costs ` +
      String(again.costs[price]),
  ];
}

/** The arithmetic must be consistent, and model and heads those of the certificate. */
export async function checkText(c: Certificate, options: VerifyOptions): Promise<TextFindings> {
  const settings = settingsOf(c);
  const source = await openSource(c, settings, options);
  if (typeof source === "string") return { reasons: [source] };
  const { evidence, given, taught } = source;
  const documents = [...checkTaught(c, evidence.subject, taught), ...checkDocuments(c, evidence)];
  if (documents.length > 0) return { reasons: documents };
  const build = otherBuild(c, evidence.subject);
  const vectors = build === undefined ? vectorsOf(c) : [c.accepted];
  const { limit = Infinity } = options;
  const counted = evidence.documents.slice(firstCounted(evidence));
  const tokens = counted.reduce((sum, document) => sum + document.tokens, 0);
  const isLong = !isExactFill(c.policy.fill) && vectors.length * tokens > limit;
  const found = await countAgain(c, source, isLong ? [c.accepted] : vectors, options);
  if (build !== undefined) return { reasons: judgeLosses(c, lossesOf(c, found, evidence), evidence), unchecked: build };
  if (isLong) {
    const positions = vectors.length * tokens;
    const unchecked = `its ${vectors.length} candidates would run on ${positions} positions; the limit is ${limit}`;
    return { reasons: found.reasons, unchecked };
  }
  const again = c.settings.ownText === undefined ? await proposeAgain(c, evidence, settings) : [];
  const reasons = [...again, ...found.reasons];
  const named = evidence.documents.length;
  if (named === given && taught === (c.taught ?? 0)) return { reasons };
  return { reasons, unchecked: `it names ${named} of the ${given} documents given; why not the others is not known` };
}

/** All that were tested, strictest first; the certified one is among them. */
export function vectorsOf({ test, accepted }: Certificate): readonly CertificateCounts[] {
  const tested = test?.candidates ?? [];
  return typeof test?.chosen === "number" ? tested : [...tested, accepted];
}

/** Costs in milliseconds are those that it stores. */
export function settingsOf(c: Certificate): CertifySettings {
  const { agreement, delta, unit, settings, split, policy } = c;
  const loss = c.loss === "totalVariation" ? "token" : c.loss;
  const { score, candidates, gridShare } = settings;
  const asked = { agreement, delta, loss, unit, score, candidates, gridShare, seed: split.seed, fill: policy.fill };
  return certifySettings(asked, [loss]);
}

/** The evidence, or why there is none. */
async function openSource(
  c: Certificate,
  settings: CertifySettings,
  { heads, documents, records, against, signal }: VerifyOptions,
): Promise<Source | string> {
  const { sequenceLength } = c;
  const { ownText } = c.settings;
  if (heads === undefined || documents === undefined) {
    if (ownText !== undefined) return "own text: records do not show it; give heads and the prompts";
    const all = records!.documents;
    return arrangeSource(namedIn(c, all), all, settings, (arrangement) => ({
      evidence: recordedEvidence(records!, arrangement),
    }));
  }
  const { maxPositionEmbeddings } = heads.model.config;
  if (sequenceLength > maxPositionEmbeddings) {
    return `sequenceLength: it is ${sequenceLength}, but the model's context has ${maxPositionEmbeddings}`;
  }
  const judged = { sequenceLength, sampling: c.sampling, against, signal };
  if (ownText !== undefined) {
    const { promptTexts, runOwnText } = await import("../record/own-text.js");
    const { score, fill } = c.policy;
    const candidates = { score, fill, thresholds: vectorsOf(c).map(({ thresholds }) => thresholds) };
    const runs = await runOwnText(heads, documents, candidates, { ...ownText, ...judged });
    const texts = await promptTexts(heads, documents, { ...ownText, sequenceLength });
    const classed = classDocuments(texts, heads.model, true);
    const prompts = runs.documents.map((document, d) => ({ ...document, kin: classed[d]!.kin }));
    return arrangeSource(prompts, prompts, settings, (arrangement) => ({
      evidence: countedEvidence({ ...runs, documents: prompts }, arrangement),
    }));
  }
  const all = await hashDocuments(heads, documents, sequenceLength);
  const chosen = namedIn(c, classDocuments(all, heads.model));
  const texts = typeof chosen === "string" ? chosen : classDocuments(chosen, heads.model);
  return arrangeSource(texts, all, settings, async (arrangement) => ({
    evidence: await streamedEvidence(heads, arrangement, { ...judged, fill: settings.fill }),
    text: (index) => arrangement.documents[index]!,
  }));
}

/** Arranges those of all documents given that the certificate names. */
async function arrangeSource<One extends CountedDocument>(
  named: readonly One[] | string,
  all: readonly { readonly taught?: true }[],
  settings: CertifySettings,
  open: (arrangement: Arrangement<One>) => Opened | Promise<Opened>,
): Promise<Source | string> {
  if (typeof named === "string") return named;
  const arrangement = await arrange(named, settings).catch(
    (error: unknown) => `documents: ${(error as Error).message}`,
  );
  if (typeof arrangement === "string") return arrangement;
  const taught = all.filter((document) => document.taught === true).length;
  return { ...(await open(arrangement)), given: all.length - taught, taught };
}

/** Of the documents given, those that the certificate names, with their copies; the reason if one is missing. */
function namedIn<One extends CountedDocument>(
  { documents }: Certificate,
  given: readonly One[],
): readonly One[] | string {
  const hashes = new Set(given.map(({ hash }) => hash));
  const listed = documents.flatMap(({ copies = [], ...leader }) => [leader, ...copies]);
  const missing = listed.filter(({ hash }) => !hashes.has(hash));
  if (missing.length > 0) {
    return (
      `documents: ${missing.length} of the ${listed.length} that it names are not among those given ` +
      `(${missing[0]!.hash.slice(0, 12)}…); give the text that it was made from`
    );
  }
  const names = new Set(listed.map(({ hash }) => hash));
  return given.filter(({ hash, kin = hash }) => names.has(hash) || names.has(kin));
}

/** Heads that know their training text find at least the documents that were left out. */
export function checkTaught({ taught }: Certificate, { trainingKnown }: Subject, found: number): string[] {
  const known = trainingKnown === true ? found : undefined;
  if (known === taught || (known ?? 0) > (taught ?? Infinity)) return [];
  return [`documents: ${known ?? "an unknown number"} of them taught the heads; ${taught ?? "no number"} is stored`];
}

interface Recount {
  readonly reasons: readonly string[];
  /** The certified vector on all test documents. */
  readonly accepted: readonly Counted[];
}

/** Counts vectors on the test documents; the certified one also runs token by token. */
async function countAgain(
  c: Certificate,
  source: Source,
  vectors: readonly CertificateCounts[],
  { heads, rerun, against, signal, onDocument }: VerifyOptions,
): Promise<Recount> {
  const { accepted, test } = c;
  const { evidence } = source;
  const certified = vectors.length === 1 || typeof test?.chosen !== "number" ? vectors.length - 1 : test.chosen;
  const first = firstCounted(evidence);
  const count = evidence.documents.length - first;
  const chosen = new Set(rerun ?? Array(count).keys());
  const all: Counted[] = [];
  const reasons: string[] = [];
  const compare = (what: string, d: number, vector: CertificateCounts, counted: Counted): void => {
    if (matches(vector, d, counted) || reasons.length > MOST_REASONS) return;
    const { left, wrong, deep } = counted;
    reasons.push(
      `on test document ${d}, ${what} does not do what the certificate stores (found: left ${left.join(", ")}; wrong ` +
        `${wrong.join(", ")}; changed at full depth ${deep}; the backend was ${c.backend})`,
    );
  };
  for (let d = 0; d < count; d++) {
    await giveTurn(signal);
    const found = await countDocument(c, evidence, first + d, vectors);
    for (const [v, vector] of vectors.entries()) {
      compare(v === certified ? "the certified vector" : `candidate ${v}`, d, vector, found[v]!);
    }
    let counted = found[certified]!;
    if (source.text !== undefined && heads !== undefined && chosen.has(d)) {
      counted = await runDocument(c, heads, source.text(first + d), against);
      compare("the policy, run token by token,", d, accepted, counted);
    }
    all.push(counted);
    await onDocument?.({ document: d + 1, documents: count });
  }
  return { reasons, accepted: all };
}

const MOST_REASONS = 20;

/** Per vector, from the record, or where that does not show it, as run. */
async function countDocument(
  c: Certificate,
  { record, run }: Evidence,
  index: number,
  vectors: readonly CertificateCounts[],
): Promise<Counted[]> {
  const { score, exits } = c.policy;
  if (run === undefined) {
    const recorded = await record!(index);
    return vectors.map(({ thresholds }) => countRecord(recorded, thresholds, c));
  }
  const oriented = vectors.map(({ thresholds }) => thresholds.map((threshold) => orientThreshold(threshold, score)));
  const { left, wrong, deep, written } = await run(index, index + 1, { score, vectors: oriented });
  const rowOf = (counts: Int32Array | Float64Array, v: number) =>
    Array.from(counts.subarray(v * exits.length, (v + 1) * exits.length));
  return vectors.map((_, v) => ({
    left: rowOf(left, v),
    wrong: rowOf(wrong, v),
    deep: deep[v]!,
    ...(written && { written: written[v]! }),
  }));
}

/** The loss of each document counted. */
function lossesOf(c: Certificate, { accepted }: Recount, evidence: Evidence): number[] {
  const { lossScale } = judgedBy(evidence.subject);
  const counted = evidence.documents.slice(firstCounted(evidence));
  return accepted.map(({ wrong, deep, written }, d) => {
    const changed = (wrong.reduce((sum, count) => sum + count, 0) + deep) / lossScale;
    return c.loss === "anyChange" ? Math.min(1, changed) : changed / (written ?? counted[d]!.tokens);
  });
}

/** Another build of the kernels may give other bits, and with them other candidates and counts. */
export function otherBuild(c: Certificate, { backend, kernelBuild = "none" }: Subject): string | undefined {
  const made = `${c.backend} ${c.kernelBuild ?? "none"}`;
  const here = `${backend} ${kernelBuild}`;
  return made === here ? undefined : `it was made with the kernels ${made}; here they are ${here}`;
}

/**
 * On another build the policy must keep the claim, with losses of the documents counted much like the stored ones. An
 * answer differs from where a last bit does, so that answers need only keep it.
 */
export function judgeLosses(c: Certificate, counted: readonly number[], evidence: Evidence, far = CLOSE): string[] {
  const losses = readOnce(evidence)
    .flat()
    .map((members) => members.reduce((sum, row) => sum + counted[row]!, 0) / members.length);
  const [found, stored] = [meanOfUnits(c, losses), meanOfUnits(c, c.accepted.losses)];
  if (Math.abs(found - stored) <= far + 1 / losses.length && found <= 1 - c.agreement) return [];
  return [`on this build of the kernels the mean loss is ${found.toFixed(4)}; ${stored.toFixed(4)} is stored`];
}

/** The largest distance between mean losses of two builds, beside one document of the test. */
const CLOSE = 0.005;

function meanOfUnits({ documents, split, unit }: Certificate, losses: readonly number[]): number {
  const units = new Map<string, number[]>();
  for (const [d, { hash, group = hash }] of documents.slice(split.grid).entries()) {
    const name = unit === "group" ? group : hash;
    units.set(name, [...(units.get(name) ?? []), losses[d]!]);
  }
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return mean(Array.from(units.values(), mean));
}

function countRecord(
  { exits, positions, deep }: DocumentRecord,
  thresholds: CertificateCounts["thresholds"],
  { policy: { score } }: Certificate,
): Counted {
  const counted = { left: thresholds.map(() => 0), wrong: thresholds.map(() => 0), deep: 0 };
  for (let t = 0; t < positions; t++) {
    const exit = thresholds.findIndex((threshold, e) => leaves(scoreAt(exits[e]!, t, score), threshold, score));
    if (exit < 0) {
      counted.deep += deep?.[t] ?? 0;
      continue;
    }
    const { agrees, losses } = exits[exit]!;
    counted.left[exit]!++;
    counted.wrong[exit]! += losses?.[t] ?? Number(agrees[t] !== 1);
  }
  return counted;
}

/** Low entropies pass a threshold, and high values of all other scores. */
function leaves(score: number, threshold: Threshold, name: ScoreName): boolean {
  if (typeof threshold === "string") return threshold === "always";
  return name === "entropy" ? score <= threshold : score >= threshold;
}

function matches({ left, wrong, deep, written }: CertificateCounts, document: number, counted: Counted): boolean {
  const exits = counted.left.length;
  const rowOf = (counts: readonly number[]) => counts.slice(document * exits, (document + 1) * exits).join();
  return (
    rowOf(left) === counted.left.join() &&
    rowOf(wrong) === counted.wrong.join() &&
    (deep[document] ?? 0) === counted.deep &&
    (written === undefined || written[document] === counted.written)
  );
}
