/**
 * Certificates of version 2 as version 3 writes them: the same counts, p-values and policy under one claim, sealed
 * again. A file whose digest does not match, or with a claim or a procedure that version 3 does not have, is refused.
 * The independent verifier recomputes the result: every loss, p-value, decision and measured outcome must follow from
 * the counts as before.
 */
import { type Certificate, verifyCertificate } from "early-exits";
import { type CertificateCandidate, sealCertificate } from "../../src/calibrate/certificate/certificate.js";

/** The members of version 2 that version 3 has otherwise or not at all. */
interface OldCertificate extends Omit<
  Certificate,
  "version" | "loss" | "unit" | "policy" | "settings" | "groups" | "test"
> {
  readonly version: 2;
  readonly claim: "overall" | "anyChange" | "selective";
  readonly promise: "probability" | "expectation";
  readonly unit: "document" | "group" | "token";
  readonly bound: string;
  readonly procedure: string;
  readonly lossScale: number;
  readonly policy: Omit<Certificate["policy"], "certified"> & {
    readonly certified: Omit<NonNullable<Certificate["policy"]["certified"]>, "loss"> & { readonly claim: string };
  };
  readonly settings: Certificate["settings"] & { readonly bound: string; readonly given: boolean };
  readonly groups: Certificate["groups"] & { readonly independence: string };
  readonly otherCosts: unknown;
  readonly tests: readonly {
    readonly candidates: readonly CertificateCandidate[];
    readonly planned: number;
    readonly accepted: readonly number[];
    readonly chosen: number | "never";
  }[];
}

export function isOldCertificate(json: unknown): json is OldCertificate {
  const { format, version } = (json ?? {}) as { readonly format?: unknown; readonly version?: unknown };
  return format === "early-exits/certificate" && version === 2;
}

/** Converts a certificate. Throws if it is not what its digest says, or if the result is refuted. */
export async function convertCertificate(
  old: OldCertificate,
): Promise<{ readonly certificate: Certificate; readonly facts: string }> {
  const { claim, promise, bound, procedure, lossScale, otherCosts, tests, digest, ...kept } = old;
  const { digest: found } = await sealCertificate(omit(old, "digest") as never);
  if (found !== digest) throw new Error("convert: the digest does not match: the file was changed after it was made");
  const loss = claim === "anyChange" ? claim : lossScale === 1 ? "token" : "totalVariation";
  const exact = loss === "anyChange" && kept.unit === "document";
  const lawful =
    claim !== "selective" &&
    kept.unit !== "token" &&
    promise === "probability" &&
    procedure === "fixedSequence" &&
    bound === (exact ? "clopperPearson" : "wsr") &&
    otherCosts === null &&
    !(kept.settings.given && kept.settings.ownText === undefined);
  if (!lawful) {
    throw new Error(
      `convert: claim "${claim}", unit "${kept.unit}", procedure "${procedure}" and bound "${bound}", or candidates ` +
        "that were given, do not exist any more; calibrate again",
    );
  }
  const [test] = tests;
  const certificate = await sealCertificate({
    ...kept,
    version: 3,
    loss,
    unit: kept.unit as Certificate["unit"],
    assumptions: kept.assumptions.filter((code: string) => code !== "candidates-given"),
    policy: { ...kept.policy, certified: { ...omit(kept.policy.certified, "claim"), loss } },
    settings: omit(omit(kept.settings, "bound"), "given"),
    groups: omit(kept.groups, "independence"),
    test:
      test === undefined
        ? null
        : {
            candidates: test.candidates,
            planned: test.planned,
            accepted: test.accepted.length,
            chosen: test.chosen,
          },
  });
  const { verdict, reasons } = await verifyCertificate(certificate);
  if (verdict !== "arithmetic consistent") throw new Error(`convert: ${reasons.join("; ")}`);
  const counted = certificate.documents.length - certificate.split.grid;
  return {
    certificate,
    facts: `${counted} test documents and ${test?.candidates.length ?? 0} candidates recomputed, ${verdict}`,
  };
}

export function omit<From extends object, Key extends keyof From>(from: From, key: Key): Omit<From, Key> {
  const members = Object.entries(from).filter(([name]) => name !== key);
  return Object.fromEntries(members) as unknown as Omit<From, Key>;
}
