/**
 * A certificate against its text, as records or as documents with heads: duplicates are found, documents split,
 * candidates proposed and counted again. With heads, the policy runs too (against-decoder.ts). On another build of the
 * kernels, last bits of scores may differ, and so may candidates and counts; the policy must keep the claim all the
 * same.
 */
import { isExactFill } from "../../exits/fill/fill.js";
import { scoreAt, type ScoreName, type Threshold } from "../../exits/heads/score.js";
import { giveTurn } from "../../turns.js";
import type { Certificate, CertificateCounts } from "../certificate/certificate.js";
import { inWindows } from "../certificate/assumptions.js";
import { planTest } from "../certify/fixed-sequence.js";
import { certifySettings, type CertifySettings } from "../certify/settings.js";
import { rawThreshold } from "../procedures/token-table.js";
import { type Evidence, recordedEvidence, streamedEvidence } from "../record/evidence.js";
import { type DocumentRecord, judgedDocuments } from "../record/record.js";
import { arrange } from "../record/split.js";
import { exitCosts, judgedBy } from "../record/subject.js";
import { type Counted, runDocument } from "./against-decoder.js";
import type { VerifyOptions } from "./against-model.js";
import type { TextFindings } from "./against-own-text.js";

interface Source {
  readonly evidence: Evidence;
  /** Token ids and first judged position, if there are heads to run. */
  readonly text?: (index: number) => { readonly ids: readonly number[]; readonly from: number };
}

// The candidates, proposed again from the grid split: this shows thresholds that were chosen on the test documents.
// Costs in milliseconds cannot be measured twice, so the stored ones are used.

/** Differences of candidates, costs or score. */
async function proposeAgain(c: Certificate, evidence: Evidence, asked: CertifySettings): Promise<string[]> {
  const { policy, costs, costUnit } = c;
  const { score, fill } = policy;
  if (costUnit === "multiplyAdds") {
    const { reach, head, full } = exitCosts(evidence.subject, { fill });
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
  const inWords = again.vectors.map((vector) => vector.map((one) => rawThreshold(one, score)).join(", "));
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
  if (c.settings.ownText !== undefined) {
    const { checkOwnText } = await import("./against-own-text.js");
    return checkOwnText(c, options);
  }
  const settings = settingsOf(c);
  const source = await openSource(c, settings, options);
  if (typeof source === "string") return { reasons: [source], sameBuild: true };
  const { evidence } = source;
  const sameBuild = evidence.subject.backend === c.backend && (evidence.subject.kernelBuild ?? null) === c.kernelBuild;
  const documents = checkDocuments(c, evidence);
  if (documents.length > 0) return { reasons: documents, sameBuild };
  const found = await countAgain(c, source, options);
  if (!sameBuild) return { reasons: judgeAgreement(c, found, judgedBy(evidence.subject).lossScale), sameBuild };
  return { reasons: [...(await proposeAgain(c, evidence, settings)), ...found.reasons], sameBuild };
}

/** Costs in milliseconds are those that it stores. */
function settingsOf(c: Certificate): CertifySettings {
  const { agreement, delta, loss, unit, settings, split, policy } = c;
  return certifySettings({
    agreement,
    delta,
    loss: loss === "anyChange" ? loss : "token",
    unit,
    score: settings.score,
    candidates: settings.candidates,
    gridShare: settings.gridShare,
    seed: split.seed,
    fill: policy.fill,
  });
}

async function openSource(
  c: Certificate,
  settings: CertifySettings,
  { heads, documents, records, against, signal }: VerifyOptions,
): Promise<Source | string> {
  const { sequenceLength } = c;
  if (heads !== undefined && documents !== undefined) {
    const { maxPositionEmbeddings } = heads.model.config;
    if (sequenceLength > maxPositionEmbeddings) {
      return `sequenceLength: it is ${sequenceLength}, but the model's context has ${maxPositionEmbeddings}`;
    }
    const kept = inWindows(c) ? Infinity : sequenceLength;
    const texts = await judgedDocuments(heads, documents, sequenceLength, kept);
    const arrangement = await arrange(texts, settings).catch((error: unknown) => (error as Error).message);
    if (typeof arrangement === "string") return `documents: ${arrangement}`;
    const { fill } = settings;
    const judged = { sequenceLength, sampling: c.sampling, against, signal };
    const evidence = await streamedEvidence(heads, texts, arrangement, { ...judged, fill });
    return { evidence, text: (index) => texts[arrangement.order[index]!]! };
  }
  const arrangement = await arrange(records!.documents, settings).catch((error: unknown) => (error as Error).message);
  if (typeof arrangement === "string") return `records: ${arrangement}`;
  return { evidence: recordedEvidence(records!, arrangement) };
}

/** The same documents with the same copies, groups and lengths, and the same cut. */
function checkDocuments({ documents, split }: Certificate, { documents: found, grid }: Evidence): string[] {
  const known = new Map(found.map((document) => [document.hash, document]));
  for (const { hash, tokens, group, copies = 1 } of documents) {
    const short = `${hash.slice(0, 12)}…`;
    const document = known.get(hash);
    if (document === undefined) return [`documents: ${short} is not among them, or is a copy of another`];
    if (document.tokens !== tokens) {
      return [`documents: ${short} has ${document.tokens} judged tokens, not ${tokens}`];
    }
    if (document.copies !== copies) {
      return [`documents: ${short} occurs ${document.copies} times, exactly or nearly, but ${copies} are stored`];
    }
    if (document.group !== group) return [`documents: ${short} is in another group than the certificate says`];
  }
  if (found.length !== documents.length) {
    return [`documents: ${found.length} distinct ones were found, but the certificate uses ${documents.length}`];
  }
  if (grid !== split.grid) return [`split: the grid split has ${grid} documents, not ${split.grid}`];
  return [];
}

interface Recount {
  readonly reasons: readonly string[];
  /** The certified vector on all test documents. */
  readonly accepted: readonly Counted[];
}

async function countAgain(c: Certificate, source: Source, options: VerifyOptions): Promise<Recount> {
  const { split, documents, accepted, policy } = c;
  const { heads, rerun, signal, onDocument } = options;
  const exact = isExactFill(policy.fill);
  const chosen = new Set(rerun ?? documents.slice(split.grid).keys());
  const all: Counted[] = [];
  const reasons: string[] = [];
  const count = documents.length - split.grid;
  for (let d = 0; d < count; d++) {
    await giveTurn(signal);
    const stored = countsOn(accepted, d, policy.exits.length);
    let counted: Counted | undefined;
    if (exact) {
      const record = await source.evidence.record!(split.grid + d);
      counted = countRecord(record, accepted.thresholds, c);
      if (!matches(stored, counted)) reasons.push(differs("the certified vector", d, counted, c));
      reasons.push(...checkCandidates(c, d, record));
    }
    if (source.text !== undefined && heads !== undefined && (chosen.has(d) || !exact)) {
      const ran = await runDocument(c, heads, source.text(split.grid + d), options.against);
      if (!matches(stored, ran)) reasons.push(differs("the policy, run token by token,", d, ran, c));
      counted = ran;
    }
    if (counted !== undefined) all.push(counted);
    if (reasons.length > 20) break;
    await onDocument?.({ document: d + 1, documents: count });
  }
  return { reasons, accepted: all };
}

function checkCandidates(c: Certificate, d: number, record: DocumentRecord): string[] {
  return (c.test?.candidates ?? []).flatMap((candidate, i) => {
    const counted = countRecord(record, candidate.thresholds, c);
    const stored = countsOn(candidate, d, c.policy.exits.length);
    return matches(stored, counted) ? [] : [differs(`candidate ${i}`, d, counted, c)];
  });
}

function differs(what: string, document: number, { left, wrong, deep }: Counted, { backend }: Certificate): string {
  return (
    `on test document ${document}, ${what} does not do what the certificate stores (found: left ${left.join(", ")}; ` +
    `wrong ${wrong.join(", ")}; changed at full depth ${deep}; the backend was ${backend})`
  );
}

/** On another build the policy must keep the claim, with a loss close to the stored one. */
function judgeAgreement(c: Certificate, { accepted }: Recount, lossScale: number): string[] {
  const tokens = c.documents.slice(c.split.grid).map((document) => document.tokens);
  const losses = accepted.map(({ wrong, deep }, d) => {
    const changed = (wrong.reduce((sum, count) => sum + count, 0) + deep) / lossScale;
    return c.loss === "anyChange" ? Math.min(1, changed) : changed / tokens[d]!;
  });
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  if (losses.length < tokens.length) return ["the policy was not counted on all test documents"];
  const [found, stored] = [mean(losses), mean(c.accepted.losses)];
  if (Math.abs(found - stored) > CLOSE) {
    return [`on this build of the kernels the mean loss is ${found.toFixed(4)}; ${stored.toFixed(4)} is stored`];
  }
  return found <= 1 - c.agreement ? [] : [`on this build of the kernels the mean loss is ${found.toFixed(4)}`];
}

/** The largest distance between mean losses of two builds. */
const CLOSE = 0.005;

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

function countsOn({ left, wrong, deep }: CertificateCounts, document: number, exits: number): Counted {
  const begin = document * exits;
  return {
    left: left.slice(begin, begin + exits),
    wrong: wrong.slice(begin, begin + exits),
    deep: deep[document] ?? 0,
  };
}

function matches(stored: Counted, counted: Counted): boolean {
  return (
    stored.left.join() === counted.left.join() &&
    stored.wrong.join() === counted.wrong.join() &&
    stored.deep === counted.deep
  );
}
