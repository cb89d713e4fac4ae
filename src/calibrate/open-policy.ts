/**
 * Opens what calibration wrote, for all that run it: decoding, chat, server, evaluation, export, page. What is damaged
 * or changed is refused, and only a policy out of a whole certificate has a promise (`coveredBy`). Model and heads are
 * compared when the policy meets them (`requirePolicyFor`).
 */
import { PolicyError } from "../errors.js";
import { checkPolicy, coverPolicy, type Policy } from "../exits/plan/policy.js";
import { sha256Now } from "../model/sha256-now.js";
import { canonicalJson, type Certificate } from "./certificate/certificate.js";
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

/**
 * Opens a certificate, as parsed JSON: format and version, the type and range of every member, and the seal. Throws a
 * PolicyError, which says what to do. It finds damage; what somebody has sealed anew, `verifyCertificate` finds with
 * model, heads and text.
 */
export function checkCertificate(json: unknown): Certificate {
  requireVersion(json);
  requireListedCopies(json as Certificate);
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
  coverPolicy(certificate.policy, certificate.sequenceLength);
  return certificate;
}

/** `checkCertificate`, which also refuses a certificate with another policy beside it. */
export function certificateFrom(json: unknown): Certificate {
  if (typeof json === "object" && json !== null && "policy" in json && "certificate" in json) throw twoPolicies();
  return checkCertificate(json);
}

function requireVersion(json: unknown): void {
  const certificate = json as Partial<Certificate> | null;
  if (typeof certificate !== "object" || certificate?.format !== "early-exits/certificate") {
    throw new PolicyError("certificate-format", 'certificate: expected {"format": "early-exits/certificate", …}');
  }
  const version: unknown = certificate.version;
  if (version === 3) return;
  const remedies = new Map<unknown, string>([
    [1, "certificates of version 1 do not bind everything they claim; calibrate again"],
    [2, "convert the file (npx tsx scripts/convert.ts FILE in the repository), or calibrate again"],
  ]);
  throw new PolicyError(
    "certificate-version",
    `certificate: version ${JSON.stringify(version)} is not supported, only 3; ` +
      (remedies.get(version) ?? "update the library"),
    { version },
  );
}

/** Version 3 stated the number of copies at first. */
function requireListedCopies({ documents }: Certificate): void {
  const listed: readonly unknown[] = Array.isArray(documents) ? documents : [];
  const isCounted = (one: unknown): boolean => typeof (one as { copies?: unknown } | null)?.copies === "number";
  if (!listed.some(isCounted)) return;
  throw new PolicyError(
    "certificate-version",
    "certificate: it states how many copies a document has, and does not list them; convert the file (npx tsx " +
      "scripts/convert.ts FILE in the repository), or calibrate again",
  );
}

function twoPolicies(): PolicyError {
  return new PolicyError(
    "certificate-beside",
    "policy: the file holds a policy beside a certificate, as version 1 wrote it, so what was verified need not be " +
      "what runs; calibrate again, or use the certificate alone, which holds its policy",
  );
}
