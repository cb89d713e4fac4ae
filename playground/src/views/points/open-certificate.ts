/** Opens the certificate of an operating point: until then the page promises nothing. */
import { checkCertificate, type Policy } from "early-exits";
import { readJson } from "early-exits/browser";
import { describeAssumption, describeClaim } from "early-exits/calibrate";
import { PolicyError } from "early-exits/exits";

/** A certificate in words. */
export interface OpenCertificate {
  readonly claim: string;
  readonly assumptions: readonly string[];
  readonly documents: number;
}

/** Throws a PolicyError unless the seal is whole and the certificate holds the policy that runs. */
export async function openCertificate(url: string, policy: Policy): Promise<OpenCertificate> {
  const certificate = checkCertificate(await readJson(url));
  if (JSON.stringify(certificate.policy) !== JSON.stringify(policy)) {
    throw new PolicyError("certificate-policy", `${url}: it is for another policy than the one that runs`, { url });
  }
  return {
    claim: describeClaim(certificate),
    assumptions: certificate.assumptions.map(describeAssumption),
    documents: certificate.documents.length,
  };
}
