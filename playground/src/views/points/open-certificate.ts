/** Opens the certificate of an operating point: until then the page promises nothing. */
import { checkCertificate, type Policy } from "early-exits";
import { PolicyError } from "early-exits/exits";

/** Throws a PolicyError unless the seal is whole and the certificate holds the policy that runs. */
export async function openCertificate(url: string, policy: Policy): Promise<void> {
  const response = await fetch(url);
  if (!response.ok) throw new PolicyError("certificate-missing", `${url}: status ${response.status}`, { url });
  const certificate = checkCertificate(await response.json());
  if (JSON.stringify(certificate.policy) === JSON.stringify(policy)) return;
  throw new PolicyError("certificate-policy", `${url}: it is for another policy than the one that runs`, { url });
}
