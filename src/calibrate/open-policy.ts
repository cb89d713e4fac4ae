/**
 * Opens what calibration wrote, for all that run it: decoding, chat, server, evaluation, export, page. What is damaged
 * or changed is refused, and only a policy out of a whole certificate has a promise (`certifiedTerms`). Model and heads
 * are compared when the policy meets them (`requirePolicyFor`).
 */
import { PolicyError } from "../errors.js";
import { requireKnown } from "../known.js";
import { checkPolicy, registerCertified, type Policy } from "../exits/plan/policy.js";
import { fileJson } from "../model/files/folder.js";
import { describeSampling, type SamplingOptions } from "../model/decode/sampling.js";
import type { Folder, FolderFile, StoredAs } from "../model/index.js";
import { sha256Now } from "../model/sha256-now.js";
import { canonicalJson, type Certificate } from "./certificate/certificate.js";
import { judgedTokens } from "./record/policy-runs.js";
import { shown } from "../shown.js";
import { shapeReasons } from "./recompute/check-shape.js";

/**
 * Opens a policy, as parsed JSON: one in a certificate, which is checked; alone; or beside a report of the published
 * procedure. The last two promise nothing, so what they say of a certificate is left out. Throws a PolicyError, also
 * for a policy beside a certificate: the verified one might not be the one that runs.
 */
export function policyFrom(json: unknown): Policy {
  const file = json as { readonly format?: unknown; readonly policy?: unknown; readonly certificate?: unknown } | null;
  if (file?.format === "early-exits/certificate") return checkPolicy(checkCertificate(json).policy);
  const report = file?.certificate as { readonly format?: unknown } | null | undefined;
  if (report?.format === "early-exits/certificate") throw twoPolicies();
  const policy: { -readonly [Key in keyof Policy]: Policy[Key] } = { ...checkPolicy(file?.policy ?? json) };
  delete policy.certified;
  return policy;
}

export interface ReadPolicyOptions {
  /**
   * The agreement of the policy to open, of several in a folder; a file must hold a policy of it.
   * @default the folder's policy.json
   */
  readonly level?: number;
  /** Storage of the model's weights. @default that of the certificates which lie in no folder of a dtype */
  readonly dtype?: StoredAs;
  /** Sampling settings of the text. @default greedy in a folder, and those of a file */
  readonly sampling?: SamplingOptions;
}

/**
 * Reads a policy, in a certificate or alone (`policyFrom`), for the entries that have files. A folder holds
 * policy.json, or a certificate for every level, 95.json for 0.95, in itself or in `certificates`; those for other
 * dtypes and for sampled text lie in folders there (`folderOfPolicies`). Throws a PolicyError that names the file if
 * there is none, it is for another level, dtype or sampling, its seal is broken or anything in it is not legal.
 */
export async function openPolicy(place: Folder | FolderFile, options: ReadPolicyOptions = {}): Promise<Policy> {
  requireKnown("readPolicy", options, ["level", "dtype", "sampling"]);
  const file = "open" in place ? await policyFile(place, options) : place;
  const json = await fileJson(file, { limit: "tokenizerBytes" });
  const { path } = file;
  try {
    const policy = policyFrom(json);
    const wrong = termsOf(policy, options).find(([, found, asked]) => asked !== undefined && asked !== found);
    if (wrong === undefined) return policy;
    const [code, found, asked] = wrong;
    throw new PolicyError(code, `it was calibrated for ${found}, not for ${asked}${await othersIn(place)}`);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw new PolicyError(error.code, `${path}: ${error.message}`, { ...error.details, path });
  }
}

/** The terms of a policy and those asked for, with the code of an error. */
function termsOf({ agreement, certified }: Policy, { level, dtype, sampling }: ReadPolicyOptions) {
  return [
    ["policy-level", agreement ?? "no level", level],
    ["policy-dtype", certified?.dtype ?? "no dtype", dtype],
    ["policy-sampling", describeSampling(certified?.sampling ?? {}), sampling && describeSampling(sampling)],
  ] as const;
}

/** Names of the certificates in a folder, as the end of a sentence; nothing of a file, or where nobody can tell. */
async function othersIn(place: Folder | FolderFile): Promise<string> {
  const names = "names" in place ? await place.names().catch(() => []) : undefined;
  const certificates = (names ?? []).filter((name) => /(^|\/)\d+(\.\d+)?\.json$/.test(name)).sort();
  return certificates.length === 0 ? "" : `; there are ${certificates.join(", ")}`;
}

/**
 * The folder of certificates for a dtype and for sampled text, in that with the usual ones; it ends with a slash, or is
 * empty: "int8/temperature-0.8-topP-0.95/".
 */
export function folderOfPolicies(sampling: SamplingOptions = {}, dtype?: StoredAs): string {
  const text = describeSampling(sampling);
  const drawn = text === "greedy" ? "" : `${text.replaceAll(/,? /g, "-")}/`;
  return dtype === undefined ? drawn : `${dtype}/${drawn}`;
}

async function policyFile(folder: Folder, { level, dtype, sampling }: ReadPolicyOptions): Promise<FolderFile> {
  const ofLevel = `${Math.round(1e4 * (level ?? 0)) / 100}.json`;
  const [own, usual] = [folderOfPolicies(sampling, dtype), folderOfPolicies(sampling)];
  const inFolders = [...new Set([own, usual])].flatMap((place) => [`certificates/${place}`, place]);
  const names = [...(level === undefined ? [] : inFolders.map((place) => place + ofLevel)), "policy.json"];
  for (const name of names) {
    const file = await folder.open(name);
    if (file !== undefined) return file;
  }
  throw new PolicyError(
    "policy-missing",
    `${folder.path}: found no ${names.join(" or ")}; name a file, or a level for which there is a certificate, as ` +
      `in { level: 0.95 }${await othersIn(folder)}`,
  );
}

/**
 * Opens a certificate, as parsed JSON: format and version, the type and range of every member, and the seal. Throws a
 * PolicyError, which says what to do, also for a certificate beside another policy. It finds damage; what somebody has
 * sealed anew, `verifyCertificate` finds with model, heads and text.
 *
 * @example
 * ```ts
 * import { checkCertificate } from "early-exits";
 * import { readJson } from "early-exits/node";
 *
 * const json = await readJson("node_modules/early-exits/models/sotu-12/certificates/95.json");
 * const { agreement, delta, policy } = checkCertificate(json);
 * console.log(agreement, delta, policy.score); // 0.95 0.05 margin
 * ```
 */
export function checkCertificate(json: unknown): Certificate {
  if (typeof json === "object" && json !== null && "certificate" in json) throw twoPolicies();
  requireVersion(json);
  const [wrong] = shapeReasons(json);
  if (wrong !== undefined) {
    throw new PolicyError(
      "certificate-shape",
      `certificate: ${wrong}; use an unchanged copy of the file, or calibrate again`,
      { reason: wrong },
    );
  }
  const certificate = json as Certificate;
  const { digest, ...content } = certificate;
  const found = sha256Now(canonicalJson(content));
  if (found !== digest) {
    throw new PolicyError(
      "certificate-seal",
      `certificate: its seal is ${digest.slice(0, 12)}…, but that of its content is ${found.slice(0, 12)}…, so it ` +
        "was changed or damaged after it was made; use an unchanged copy, or calibrate again; a changed policy in a " +
        "file of its own runs without a promise",
      { digest, found },
    );
  }
  registerCertified(certificate.policy, { length: certificate.sequenceLength, newTokens: judgedTokens(certificate) });
  return certificate;
}

function requireVersion(json: unknown): void {
  const certificate = json as Partial<Certificate> | null;
  if (typeof certificate !== "object" || certificate?.format !== "early-exits/certificate") {
    throw new PolicyError("certificate-format", 'certificate: expected {"format": "early-exits/certificate", …}');
  }
  const version: unknown = certificate.version;
  if (version === 3) return;
  throw new PolicyError(
    "certificate-version",
    `certificate: version ${shown(version)} is not supported, only 3; convert one of version 2 (npx tsx ` +
      "scripts/convert.ts FILE in the repository), calibrate again, or update the library",
    { version },
  );
}

function twoPolicies(): PolicyError {
  return new PolicyError(
    "certificate-beside",
    "policy: the file holds a policy beside a certificate, as version 1 wrote it, so what was verified need not be " +
      "what runs; calibrate again, or use the certificate alone, which holds its policy",
  );
}
