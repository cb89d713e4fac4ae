/** Findings from text: which documents of a certificate were given, whose kernels run, whether the claim holds. */
import type { Certificate } from "../certificate/certificate.js";
import type { Counted } from "../record/documents.js";
import { type Evidence, readOnce } from "../record/evidence.js";
import type { Subject } from "../record/subject.js";

export interface TextFindings {
  readonly reasons: readonly string[];
  /** Why nothing is known of how the policy was chosen. */
  readonly unchecked?: string | undefined;
}

/** Of the documents given, those that the certificate names, with their copies; the reason if one is missing. */
export function namedIn<One extends Counted>(
  { documents }: Certificate,
  given: readonly One[],
): readonly One[] | string {
  const hashes = new Set(given.map(({ hash }) => hash));
  const listed = documents.flatMap(({ copies = [], ...leader }) => [leader, ...copies]);
  const missing = listed.find(({ hash }) => !hashes.has(hash));
  if (missing !== undefined) return `documents: ${missing.hash.slice(0, 12)}… is not among them`;
  const names = new Set(listed.map(({ hash }) => hash));
  return given.filter(({ hash, kin = hash }) => names.has(hash) || names.has(kin));
}

/** The loss of each test document, the mean over it and its copies, from losses of rows. */
export function documentLosses(evidence: Evidence, losses: readonly number[]): number[] {
  return readOnce(evidence)
    .flat()
    .map((members) => members.reduce((sum, row) => sum + losses[row]!, 0) / members.length);
}

/** Another build of the kernels may give other bits, and with them other candidates and counts. */
export function otherBuild(c: Certificate, { backend, kernelBuild = "none" }: Subject): string | undefined {
  const made = `${c.backend} ${c.kernelBuild ?? "none"}`;
  const here = `${backend} ${kernelBuild}`;
  return made === here ? undefined : `it was made with the kernels ${made}; here they are ${here}`;
}

/** On another build the policy must keep the claim, with losses of the test documents much like the stored ones. */
export function judgeAgreement(c: Certificate, losses: readonly number[]): string[] {
  const [found, stored] = [meanOfUnits(c, losses), meanOfUnits(c, c.accepted.losses)];
  if (Math.abs(found - stored) <= CLOSE + 1 / losses.length && found <= 1 - c.agreement) return [];
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
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  return mean(Array.from(units.values(), mean));
}
